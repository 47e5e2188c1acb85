"""`step.train_only`: what matches is trained, everything else keeps every bit."""

import keras
import numpy as np
import pytest

from src import programs
from src.errors import UserError
from src.job import load_data
from tests.engine.members import train

EVERYTHING = ("optimizer=momentum", "optimizer.weight_decay=0.1", "optimizer.global_clipnorm=1")
CNN = ("model=cnn", "model.filters=[2,3]", "model.dropout=0.3")


def changed(program, dataset, config, updates=2):
    """The model's variables that updates change, by path, without the states of seeds."""
    before = program.snapshot(0, "model/")
    program.shuffle(np.arange(program.rows, dtype=np.int32)[None].repeat(program.members, 0))
    rates = np.full((updates, program.members), config.optimizer.learning_rate, np.float32)
    program.run(0, rates, np.ones(program.members, bool))
    after = program.snapshot(0, "model/")
    return {
        name.split("/", 2)[2]
        for name, value in after.items()
        if "seed_generator" not in name and value.tobytes() != before[name].tobytes()
    }


@pytest.fixture
def over_pictures(configured, tiny, pictures):
    """A configuration of the small convolutional network over tiny pictures."""

    def make(*overrides):
        data = ("data=arrays", f"data.path={pictures}", "data.batch_size=8")
        return configured(*tiny(*data, *CNN, *EVERYTHING, *overrides))

    return make


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("logits", {"cnn/logits/kernel", "cnn/logits/bias"}),
        ("logits/kernel$", {"cnn/logits/kernel"}),
        # A trained normalisation goes on measuring, its frozen neighbour doesn't.
        (
            "normalisation_1/gamma",
            {
                "cnn/normalisation_1/gamma",
                "cnn/normalisation_1/moving_mean",
                "cnn/normalisation_1/moving_variance",
            },
        ),
    ],
)
def test_only_what_matches_changes(over_pictures, tensorflow, pattern, expected):
    config = over_pictures(f"step.train_only={pattern}")
    dataset, _ = load_data(config)
    program = programs.compiled([config], dataset)
    assert changed(program, dataset, config) == expected


def test_members_of_a_fused_sweep_keep_it_too(configured, tiny, tensorflow):
    given = ("step.train_only=logits", "model.hidden=[5,4]", *EVERYTHING)
    made = [configured(*tiny(*given, f"seed={seed}")) for seed in (0, 1)]
    dataset, _ = load_data(made[0])
    program = programs.compiled(made, dataset, force=True)
    losses, _ = train(program, made, dataset, epochs=1)
    alone = programs.compiled([made[1]], dataset)
    expected, _ = train(alone, [made[1]], dataset, epochs=1)
    np.testing.assert_allclose(losses[:, 1], expected[:, 0], rtol=1e-5)
    assert changed(program, dataset, made[0]) == {"mlp/logits/kernel", "mlp/logits/bias"}


def test_a_part_of_a_layer_inside_a_layer(tensorflow):
    from src.engine.freezing import train_only

    model = keras.Sequential(
        [
            keras.layers.Input((2,)),
            keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()]),
            keras.layers.Dense(1),
        ]
    )
    train_only(model, "sequential/dense.*/bias")
    assert len(model.trainable_variables) == 1
    assert not model.layers[0].layers[1].trainable
    assert not model.layers[1].trainable


def test_a_pattern_that_matches_nothing_lists_the_names(configured, tiny, tensorflow):
    config = configured(*tiny("step.train_only=logit_s"))
    with pytest.raises(UserError) as raised:
        programs.compiled([config], load_data(config)[0])
    assert str(raised.value) == (
        "step.train_only=logit_s: it matches no variable of the model, which has mlp/dense_1/"
        "kernel, mlp/dense_1/bias, mlp/logits/kernel, mlp/logits/bias"
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("step.train_only='(a'", "step.train_only=(a: it is no regular expression"),
        ("step.train_only=''", "step.train_only"),
        ("step.train_only=3", "step.train_only=3"),
    ],
)
def test_what_is_no_pattern_is_refused(composed, override, said):
    from src.config import validate

    with pytest.raises(UserError) as raised:
        validate(composed(override))
    assert str(raised.value).startswith(said)
