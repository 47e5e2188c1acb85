"""The Keras objects that the TensorFlow peers share: the harness' own model, optimizer, loss."""

import keras

from src.benchmarks.peers.work import Work
from src.benchmarks.scripts.cross_entropy import CrossEntropy
from src.targets import call, locate


def model(work: Work) -> keras.Model:
    """The same model as the harness trains, with the same weights."""
    arguments = {key: value for key, value in work.model.items() if key != "_target_"}
    x, _ = work.arrays()
    offered = {"num_classes": work.num_classes, "input_shape": x.shape[1:]}
    made = call(locate(work.model["_target_"], "model"), arguments, key="model", offered=offered)
    made(x[:1])
    made.set_weights(work.initial_weights())
    assert isinstance(made, keras.Model)
    return made


def optimizer(work: Work) -> keras.optimizers.Optimizer:
    """Plain gradient descent."""
    return keras.optimizers.SGD(work.learning_rate)


def loss(work: Work) -> keras.losses.Loss:
    """Cross-entropy of logits, for the labels there are."""
    if work.labels == "integer":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return CrossEntropy()


def accuracy(work: Work) -> keras.metrics.Metric:
    """The share of rows whose likeliest class is the label's."""
    if work.labels == "integer":
        return keras.metrics.SparseCategoricalAccuracy()
    return keras.metrics.CategoricalAccuracy()
