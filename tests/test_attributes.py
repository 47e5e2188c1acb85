"""Which attributes members may differ in, their values, and that the values suit their parts."""

import numpy as np
import pytest

from src import attributes
from src.errors import UserError


def keys(config, *others):
    return attributes.tensor_keys(config, attributes.differing_keys([config, *others]))


def test_what_a_program_leaves_open_is_no_difference(configured):
    alike = [
        configured("seed=0", "optimizer.learning_rate=0.1", "schedule=constant", "name=a"),
        configured("seed=1", "optimizer.learning_rate=0.2", "schedule=cosine", "outputs=b"),
    ]
    assert attributes.differing_keys(alike) == []


def test_the_other_differences_by_key(configured):
    first = configured("model.hidden=[3]")
    second = configured("model.hidden=[4]", "optimizer=momentum", "epochs=2")
    assert attributes.differing_keys([first, second]) == [
        "epochs",
        "model.hidden",
        "optimizer.momentum",
    ]


def test_weight_decay_of_every_optimizer(configured, root):
    for path in (root / "conf/optimizer").glob("*.yaml"):
        made = [
            configured(f"optimizer={path.stem}", f"optimizer.weight_decay={value}")
            for value in (0.1, 0.2)
        ]
        assert keys(*made) == ("optimizer.weight_decay",), path


def test_none_is_no_weight_decay(configured):
    made = [configured(f"optimizer.weight_decay={value}") for value in ("null", "0.2")]
    found = attributes.tensor_values(made, keys(*made))
    assert list(found) == ["optimizer.weight_decay"]
    np.testing.assert_array_equal(found["optimizer.weight_decay"], np.array([0, 0.2], np.float32))


@pytest.mark.usefixtures("tensorflow")
def test_what_a_part_declares(configured):
    made = [configured(f"loss.label_smoothing={value}") for value in (0.1, 0.2)]
    assert keys(*made) == ("loss.label_smoothing",)


@pytest.mark.usefixtures("tensorflow")
@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("optimizer.momentum", (0.1, 0.2)),  # Keras asks whether it is 0
        ("loss.from_logits", ("true", "false")),
        ("model.dropout", (0.1, 0.2)),  # decides whether there is such a layer
        ("epochs", (1, 2)),
    ],
)
def test_what_no_part_declares(configured, key, values):
    made = [configured("optimizer=momentum", f"{key}={value}") for value in values]
    assert keys(*made) == ()


@pytest.mark.usefixtures("tensorflow")
def test_what_is_no_number_is_no_tensor(configured):
    made = [configured(f"loss.label_smoothing={value}") for value in ("null", "0.2", "true")]
    differing = attributes.differing_keys(made)
    assert [attributes.tensor_keys(config, differing) for config in made] == [
        (),
        ("loss.label_smoothing",),
        (),
    ]


@pytest.mark.usefixtures("tensorflow")
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.label_smoothing=1.5", r"loss.label_smoothing=1.5: input should be less than 1"),
        ("+loss.label_smoothin=0.1", r"loss.label_smoothin: .* did you mean label_smoothing\?"),
        ("+optimizer.nesterov=3", r"optimizer.nesterov=3"),
        ("+step.rho=0.1", r"step.rho: Standard takes no such argument"),
        ("model.dropout=-1", r"model.dropout=-1"),
    ],
)
def test_wrong_values_are_named(configured, override, message):
    with pytest.raises(UserError, match=message):
        attributes.check(configured(override))


@pytest.mark.usefixtures("tensorflow")
def test_every_choice_of_conf_passes(configured, root):
    for part in attributes.PARTS:
        for path in sorted((root / "conf" / part).glob("*.yaml")):
            named = ["step.teacher=RUN"] if path.stem == "distillation" else []
            attributes.check(configured(f"{part}={path.stem}", *named))
