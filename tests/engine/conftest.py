"""Configurations of the members of a fused program."""

import pytest

from src.config import validate
from tests.engine.members import MEMBERS


@pytest.fixture
def configs(composed, pictures):
    """The configurations of members that differ in seed and learning rate."""

    def make(*overrides, data="arrays"):
        data = [f"data={data}"]
        if data == ["data=arrays"]:
            data += [f"data.path={pictures}", "data.batch_size=8"]
        config = validate(composed("tracking=none", "jit=false", *data, *overrides))
        base = config.optimizer.learning_rate
        return [
            config.model_copy(
                update={
                    "seed": seed,
                    "optimizer": config.optimizer.model_copy(
                        update={"learning_rate": base * factor}
                    ),
                }
            )
            for seed, factor in MEMBERS
        ]

    return make
