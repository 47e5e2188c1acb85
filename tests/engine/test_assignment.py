"""The plain assignments make the updates that Keras' own make."""

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("SGD", {"momentum": 0.9, "weight_decay": 0.1}),
        ("AdamW", {"weight_decay": 0.1}),
        ("Muon", {"weight_decay": 0.1, "adam_weight_decay": 0.5}),
    ],
)
def test_two_updates_are_those_of_keras(name, arguments):
    import keras

    from src.engine.assignment import use_plain_assignments

    reached = []
    for plain in (False, True):
        optimizer = getattr(keras.optimizers, name)(learning_rate=0.1, **arguments)
        if plain:
            use_plain_assignments(optimizer)
        kernel = keras.Variable(np.arange(6, dtype="float32").reshape(2, 3), name="kernel")
        bias = keras.Variable(np.ones(3, "float32"), name="bias")
        optimizer.build([kernel, bias])
        for _ in range(2):
            optimizer.apply([keras.ops.ones((2, 3)), keras.ops.zeros(3)], [kernel, bias])
        reached.append((kernel.numpy(), bias.numpy()))
    np.testing.assert_array_equal(reached[0][0], reached[1][0])
    np.testing.assert_array_equal(reached[0][1], reached[1][1])
    assert (reached[1][1] < 1.0).all()  # with no gradient, the decay alone has moved it
