"""`jit=auto`: a rule on the traced operations, never a stopwatch."""

import pytest
import tensorflow as tf

from src.engine.compilation import choose, operations


def traced(function):
    return tf.function(function).get_concrete_function(tf.TensorSpec([2, 4, 4, 1], tf.float32))


def dense(x):
    return tf.matmul(tf.reshape(x, [2, 16]), tf.ones([16, 3]))


def convolution(x):
    return tf.nn.conv2d(x, tf.ones([3, 3, 1, 2]), 1, "SAME")


def depthwise(x):
    return tf.nn.depthwise_conv2d(x, tf.ones([3, 3, 1, 2]), [1, 1, 1, 1], "SAME")


def pool(x):
    return tf.nn.max_pool2d(x, 2, 2, "SAME")


def average(x):
    return tf.nn.avg_pool2d(x, 2, 2, "SAME")


def noise(x):
    return x + tf.random.stateless_uniform(x.shape, [1, 2])


def noise_inside_a_loop(x):
    for _ in tf.range(3):
        if tf.reduce_sum(x) > 0:
            x = noise(x)
    return x


def noise_in_a_function_it_calls(x):
    return tf.function(noise)(x)


@pytest.mark.parametrize(
    ("function", "jit"),
    [
        (dense, True),
        (convolution, False),
        (depthwise, False),
        (pool, False),
        (average, False),
        (noise, False),
        (noise_inside_a_loop, False),
        (noise_in_a_function_it_calls, False),
    ],
)
def test_auto_avoids_what_xla_is_slow_for_on_a_cpu(monkeypatch, function, jit):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    choice = choose(traced(function), "auto")
    assert choice.jit is jit
    assert choice == choose(traced(function), "auto")
    assert choice.reason


@pytest.mark.parametrize("function", [dense, convolution, noise])
def test_auto_compiles_anything_for_a_gpu(monkeypatch, function):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert choose(traced(function), "auto").jit is True


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("function", [dense, convolution])
def test_what_was_asked_for_is_done(function, wanted):
    choice = choose(traced(function), wanted)
    assert choice.jit is wanted
    assert choice.reason == f"jit={str(wanted).lower()}"


def test_operations_are_found_in_loops_and_branches():
    assert "MatMul" in operations(traced(dense))
    assert "StatelessRandomUniformV2" not in operations(traced(dense))
    for function in (noise, noise_inside_a_loop, noise_in_a_function_it_calls):
        assert "StatelessRandomUniformV2" in operations(traced(function))


@pytest.mark.parametrize(
    ("overrides", "jit", "word"),
    [
        ((), True, "no operation"),
        (("optimizer=adam", "schedule=cosine"), True, "no operation"),
        (("model.dropout=0.5",), False, "Random"),
        (("data=arrays", "model=cnn"), False, "Conv"),
    ],
    ids=str,
)
def test_the_choice_for_the_models_here(program, pictures, overrides, jit, word):
    path = [f"data.path={pictures}"] if overrides[:1] == ("data=arrays",) else []
    made, _ = program(*overrides, *path, "jit=auto")
    assert made.compilation.jit is jit
    assert word in made.compilation.reason
