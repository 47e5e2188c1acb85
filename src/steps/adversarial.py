"""Adversarial training: on the worst rows within a distance of those given.

Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples", 2015 (FGSM: one
iteration); Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards Deep Learning Models Resistant to
Adversarial Attacks", 2018 (PGD: more of them, from a random start):

    x_worst <- x, or a random point within epsilon of it
    iterations times:
        g       <- d loss(y, model(x_worst)) / d x_worst
        x_worst <- x_worst + step_size * sign(g)          norm=linf
                   x_worst + step_size * g / |g|_2        norm=l2
        x_worst <- the nearest point within epsilon of x, and within the clip range
    weights <- optimizer(weights,
                   d (clean_weight * loss(x) + (1 - clean_weight) * loss(x_worst)) / d weights)
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import keras
import numpy as np
import tensorflow as tf
from pydantic import Field

from src.data.dataset import Dataset
from src.errors import UserError
from src.steps.inputs import check_differentiable
from src.steps.step import Step

SMALLEST = 1e-12  # added to lengths that are divided by
PART = 4096  # rows looked at together
Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Adversarial(Step):
    """A tape watches the inputs, another one the weights.

    The attack sees the model as in inference, so it draws no dropout mask and leaves running
    means alone. Each configured metric NAME, and the loss, are of the rows as they are, and
    `robust_NAME` of attacked ones: in training of those trained on, in validation of those that an
    attack without a random start finds, so that equal weights have equal figures. In training
    `loss` is what is minimised.

    Args:
        model: see `Step`.
        optimizer: see `Step`.
        loss: see `Step`.
        metrics: see `Step`.
        dataset: what is trained on.
        epsilon: the greatest distance, in units of x as `data.normalisation` leaves it.
        step_size: of an iteration, in the same units; None: 2.5 epsilon / iterations.
        iterations: each costs a gradient.
        norm: `linf`, the greatest change of one value, or `l2`, the length of a row's change.
        clip: least and greatest value of x; `data`: those of the training rows, for each feature of
            a table or channel of pictures; None: any.
        random_start: begin at a random point within epsilon.
        clean_weight: how much the loss of the rows as they are counts.

    Raises:
        UserError: there is no derivative with respect to the inputs, or rows lie outside of `clip`.
    """

    TENSOR_ATTRIBUTES = ("epsilon", "step_size")  # sweep members may differ: src/attributes.py

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        metrics: Mapping[str, keras.metrics.Metric],
        dataset: Dataset,
        epsilon: Distance,
        step_size: Distance | None,
        iterations: Annotated[int, Field(gt=0)],
        norm: Literal["linf", "l2"],
        clip: Literal["data"] | tuple[Finite, Finite] | None,
        random_start: bool,
        clean_weight: Annotated[float, Field(ge=0, lt=1)],
    ) -> None:
        super().__init__(model, optimizer, loss, metrics)
        check_differentiable(model, dataset, "step=adversarial")
        self.epsilon = epsilon
        self.step_size = step_size
        self.iterations = iterations
        self.norm = norm
        self.limits = _limits(clip, dataset)
        self.clean_weight = clean_weight
        self.random = keras.random.SeedGenerator(name="start") if random_start else None
        self.own_metrics = {
            f"robust_{name}": type(metric).from_config(metric.get_config())
            for name, metric in metrics.items()
        }

    @property
    def state(self) -> dict[str, list[keras.Variable]]:
        """The random stream of the starts too."""
        drawn = [self.random.state] if self.random else []
        return super().state | {"adversarial": drawn}

    def train(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Update the weights once; see `Step.train` for the shapes."""
        weights = self.weights
        worst = self.held(self.attack(x, y, self.start(x) if self.random else x))
        clean = self.model(x, training=False)  # (batch, classes), for the metrics
        # Both in one call: batch normalisation sees one batch, penalties count once.
        inputs = tf.concat([worst, x], axis=0) if self.clean_weight else worst
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            outputs = self.model(inputs, training=True)
            predictions = outputs[: tf.shape(x)[0]]
            loss = robust = self.loss(y, predictions)
            if self.clean_weight:
                loss = (1 - self.clean_weight) * robust
                loss += self.clean_weight * self.loss(y, outputs[tf.shape(x)[0] :])
            loss += sum(self.model.losses)
        self.apply_gradients(tape.gradient(loss, weights))
        self.update_metrics(loss, y, clean)
        self.update_robust(robust, y, predictions)
        return loss

    def evaluate(self, x: tf.Tensor, y: tf.Tensor) -> None:
        """Add a batch to the metrics, as it is and attacked."""
        super().evaluate(x, y)
        predictions = self.model(self.attack(x, y, x), training=False)  # (batch, classes)
        self.update_robust(self.loss(y, predictions), y, predictions)

    def attack(self, x: tf.Tensor, y: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        """Rows near those of `x` with a greater loss, found from `start`; all of one shape."""
        size = 2.5 * self.epsilon / self.iterations if self.step_size is None else self.step_size

        def iteration(number: tf.Tensor, worst: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(worst)
                loss = self.loss(y, self.model(worst, training=False))
            gradient = tape.gradient(loss, worst)
            if self.norm == "linf":
                direction = tf.sign(gradient)
            else:
                direction = gradient / (lengths(gradient) + SMALLEST)
            return number + 1, self.nearest(x, worst + tf.cast(size, x.dtype) * direction)

        # A loop of the graph, so that a program with many iterations is traced as fast as with one.
        _, worst = tf.while_loop(
            lambda number, _: number < self.iterations,
            iteration,
            (tf.constant(0), self.nearest(x, start)),
        )
        return worst

    def nearest(self, x: tf.Tensor, worst: tf.Tensor) -> tf.Tensor:
        """The point within epsilon of `x`, and within the clip range, that is nearest `worst`."""
        epsilon = tf.cast(self.epsilon, x.dtype)
        change = worst - x
        if self.norm == "linf":
            change = tf.clip_by_value(change, -epsilon, epsilon)
        else:
            change *= epsilon / tf.maximum(lengths(change), epsilon + SMALLEST)
        if self.limits is None:
            return x + change
        low, high = (tf.cast(limit, x.dtype) for limit in self.limits)
        # A row of validation may lie outside already: it is not moved back in.
        return tf.clip_by_value(x + change, tf.minimum(low, x), tf.maximum(high, x))

    def start(self, x: tf.Tensor) -> tf.Tensor:
        """Points drawn uniformly from those within epsilon of the rows of `x`."""
        epsilon = tf.cast(self.epsilon, x.dtype)
        if self.norm == "linf":
            uniform = keras.random.uniform(tf.shape(x), -1, 1, seed=self.random, dtype=x.dtype)
            return x + epsilon * uniform
        # Any direction alike; a ball's share within a radius is the radius to the power of its
        # dimension.
        normal = keras.random.normal(tf.shape(x), seed=self.random, dtype=x.dtype)
        values = x.shape[1:].num_elements()
        radius = keras.random.uniform(tf.shape(x)[:1], seed=self.random, dtype=x.dtype)
        radius = tf.reshape(radius ** (1 / values), [-1] + [1] * (len(x.shape) - 1))
        return x + epsilon * radius * normal / (lengths(normal) + SMALLEST)

    def update_robust(self, loss: tf.Tensor, y: tf.Tensor, predictions: tf.Tensor) -> None:
        """Add a batch of attacked rows to the metrics of those."""
        rows = tf.cast(tf.shape(predictions)[0], tf.float32)
        for name, metric in self.own_metrics.items():
            if name == "robust_loss":
                metric.update_state(loss, sample_weight=rows)
            else:
                metric.update_state(y, predictions)


def lengths(x: tf.Tensor) -> tf.Tensor:
    """The length of each row, `(batch, 1, ...)` of the rank of `x`."""
    axes = list(range(1, len(x.shape)))
    return tf.sqrt(tf.reduce_sum(x**2, axis=axes, keepdims=True))


def _limits(
    clip: Literal["data"] | tuple[float, float] | None, dataset: Dataset
) -> tuple[np.ndarray, np.ndarray] | None:
    """Least and greatest value of x, of a shape that broadcasts over a row."""
    if clip is None:
        return None
    x = dataset.train.x
    if clip == "data":
        # As src/data/normalise.py takes its figures: the last axis is one of features or channels,
        # but in arrays of three axes, where it may be a picture's width.
        axes = tuple(range(x.ndim)) if x.ndim == 3 else tuple(range(x.ndim - 1))
        return _range(x, axes)
    low, high = clip
    least, greatest = (float(value) for value in _range(x, tuple(range(x.ndim))))
    if low >= high:
        raise UserError(f"step.clip=[{low:g},{high:g}]: the first has to be less than the second")
    if least < low or greatest > high:
        raise UserError(
            f"step.clip=[{low:g},{high:g}]: the training rows of {dataset.name} go from "
            f"{least:.4g} to {greatest:.4g} after data.normalisation; use step.clip=data for their "
            "own range, or step.clip=null for none"
        )
    return np.asarray(low), np.asarray(high)


def _range(x: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest values over the axes, a part of the rows at a time: they may stream."""
    found = []
    for start in range(0, len(x), PART):
        part = x[start : start + PART]
        found.append((part.min(axis=axes), part.max(axis=axes)))
    lows, highs = zip(*found, strict=True)
    return np.min(lows, axis=0), np.max(highs, axis=0)
