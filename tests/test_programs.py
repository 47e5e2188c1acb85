"""A program that later jobs use again: each of them begins as if it were alone."""

import numpy as np
import pytest

DRAWN_ELSEWHERE = """
import keras, random
import numpy as np
import tensorflow as tf

DRAWS = {
    "tensorflow": lambda shape: tf.random.normal(shape),
    "tensorflow_seeded": lambda shape: tf.random.normal(shape, seed=3),
    "numpy": lambda shape: np.random.normal(size=shape),
    "keras_global": lambda shape: keras.random.normal(shape),
    "python": lambda shape: np.full(shape, random.random()),
}

class Model(keras.Model):
    def __init__(self, num_classes: int, stream: str):
        super().__init__()
        draw = DRAWS[stream]
        self.flat = keras.layers.Flatten()
        self.outer = keras.layers.Dense(
            num_classes, kernel_initializer=lambda shape, dtype: tf.cast(draw(shape), dtype)
        )

    def call(self, inputs):
        return self.outer(self.flat(inputs))

    def build(self, input_shape):
        self.outer.build((None, int(np.prod(input_shape[1:]))))
"""
SEEDS = (4, 1, 7, 2)


@pytest.fixture
def begun(configured, tiny, tensorflow, tmp_path, monkeypatch):
    """The states in which jobs of these seeds begin, and which of them were built quickly."""
    from src import programs
    from src.build import build
    from src.engine import state
    from src.job import load_data

    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "drawn_elsewhere.py").write_text(DRAWN_ELSEWHERE)
    quick = []

    def counted(config, dataset, seed, *, tried=False):
        quick.append(tried)
        return build(config, dataset, seed, tried=tried)

    monkeypatch.setattr(programs, "build", counted)
    monkeypatch.setattr(programs, "_kept", type(programs._kept)())

    def make(*overrides):
        configs = [configured(*tiny("jit=false", f"seed={n}", *overrides)) for n in SEEDS]
        dataset, _ = load_data(configs[0])
        alone = [state.snapshot(build(each, dataset, each.seed)) for each in configs]
        shared = [programs.compiled([each], dataset, keep=True).snapshot() for each in configs]
        return alone, shared, quick

    return make


def equal(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(value, other[name]) for name, value in one.items()
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=mlp", "model.dropout=0.5", "optimizer=adam", "step=mixup"),
        (
            "model={_target_:drawn_elsewhere.Model}",
            "+model.stream=python",
        ),
    ],
    ids=["keras", "python"],
)
def test_what_keras_draws_is_drawn_quickly(begun, overrides):
    alone, shared, quick = begun(*overrides)
    assert all(map(equal, alone, shared))
    assert not equal(alone[0], alone[1])
    # The second seed is built both ways, another one between; those after it in the quick one.
    assert quick == [False, False, False, True, True, True]


@pytest.mark.parametrize("stream", ["tensorflow", "tensorflow_seeded", "numpy", "keras_global"])
def test_what_is_drawn_elsewhere_is_seeded_anew(begun, stream):
    alone, shared, quick = begun(
        "model={_target_:drawn_elsewhere.Model}", f"+model.stream={stream}"
    )
    assert all(map(equal, alone, shared))
    assert not equal(alone[0], alone[1])
    assert quick == [False, False, False, True, False, False]
