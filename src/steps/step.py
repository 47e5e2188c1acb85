"""What every kind of training step has in common."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from src.errors import UserError
from src.steps import norms

NORMS = ("gradient_norm", "update_norm")  # of each layer, as update/gradient_norm/LAYER


class Step:
    """A model with what trains it; a subclass says how, in `train`.

    `train` and `evaluate` see one batch and are traced into the compiled program, so they hold
    tensor operations alone. All state belongs into Keras variables: of the model, the optimizer,
    the metrics, or of further Keras objects named in `state`.

    Attributes:
        model: `(batch, *input_shape)` to `(batch, classes)`.
        optimizer: built over the model's trainable variables.
        loss: `(labels, predictions)` to a scalar, the mean over the batch.
        metrics: by the name they are reported under; `loss` is a `keras.metrics.Mean`.
        own_metrics: further ones, which the step itself updates.
        log_gradients: whether the norms of gradients and updates are reported; set by `src.build`.
    """

    TRAINING_ONLY: tuple[str, ...] = ()  # metrics that validation doesn't update
    # Whether the gradients it applies are of `self.optimizer.scale_loss(loss)`, for float16.
    SCALES_LOSS = False

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        metrics: Mapping[str, keras.metrics.Metric],
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = dict(metrics)
        self.own_metrics: dict[str, keras.metrics.Metric] = {}
        self.log_gradients = False
        self._reports: dict[str, tf.Tensor] = {}

    @property
    def weights(self) -> list[tf.Variable | tf.Tensor]:
        """The weights to train: variables, or tensors where sweep members train together.

        Those that `step.train_only` freezes are not among them.
        """
        return [variable.value for variable in self.model.trainable_variables]

    @property
    def state(self) -> dict[str, list[keras.Variable]]:
        """Every variable that training changes, by owner, in an order that is always the same."""
        return {
            "model": list(self.model.variables),
            "optimizer": list(self.optimizer.variables),
            "metrics": [v for metric in self.reported.values() for v in metric.variables],
        }

    @property
    def reported(self) -> dict[str, keras.metrics.Metric]:
        """All metrics by name."""
        return self.metrics | self.own_metrics

    def train(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Make one update from a batch.

        Args:
            x: features `(batch, *input_shape)`.
            y: labels `(batch,)` as integers, or `(batch, classes)`.

        Returns:
            The scalar loss before the update.
        """
        raise NotImplementedError

    def evaluate(self, x: tf.Tensor, y: tf.Tensor) -> None:
        """Add a batch to the metrics without training on it."""
        predictions = self.model(x, training=False)  # (batch, classes)
        loss = self.loss(y, predictions) + sum(self.model.losses)
        self.update_metrics(loss, y, predictions)

    def apply_gradients(self, gradients: Sequence[tf.Tensor | None]) -> None:
        """Update the trainable weights once; `gradients` are in the order of `weights`."""
        if self.log_gradients:
            self._apply_and_report(gradients)
        else:
            self.optimizer.apply(gradients, self.model.trainable_variables)
        for name, variable in self._optimizer_values.items():
            self.report(name, variable.value)

    @property
    def _optimizer_values(self) -> dict[str, keras.Variable]:
        """What the optimizer has to say of each update: the scale of a loss in float16."""
        return getattr(self.optimizer, "update_values", {})

    def _apply_and_report(self, gradients: Sequence[tf.Tensor | None]) -> None:
        variables = self.model.trainable_variables
        before = [tf.identity(weight) for weight in self.weights]
        scale = self.optimizer.scale_loss(tf.ones([]))  # of gradients in float16, else 1
        for layer, norm in norms.by_layer(variables, gradients).items():
            self.report(f"{NORMS[0]}/{layer}", norm / scale)
        self.optimizer.apply(gradients, variables)
        moved = [new - old for new, old in zip(self.weights, before, strict=True)]
        for layer, norm in norms.by_layer(variables, moved).items():
            self.report(f"{NORMS[1]}/{layer}", norm)

    @property
    def update_values(self) -> tuple[str, ...]:
        """The names of what `train` reports of each update besides the loss, in a fixed order.

        A step that calls `report` adds its own names to these.
        """
        own = tuple(self._optimizer_values)
        if not self.log_gradients:
            return own
        layers = norms.layers(self.model.trainable_variables)
        return (*own, *(f"{kind}/{layer}" for kind in NORMS for layer in layers))

    def report(self, name: str, value: tf.Tensor) -> None:
        """Record a scalar of this update as the metric `update/NAME`, step = updates done.

        To be called in `train`, for every name in `update_values`; outside tf.cond and tf.while.
        """
        self._reports.update({name: tf.cast(value, tf.float32)})

    def take_reports(self) -> list[tf.Tensor]:
        """What was reported since this was last called, in the order of `update_values`.

        Raises:
            UserError: that is not what `update_values` names.
        """
        reports, self._reports = self._reports, {}
        differing = sorted(reports.keys() ^ set(self.update_values))
        if differing:
            hint = "; step.log_gradients=true needs a step that calls apply_gradients"
            raise UserError(
                f"step: {type(self).__name__} must report in each update exactly what its "
                f"update_values names, not so {differing[0]}{hint if self.log_gradients else ''}"
            )
        return [reports[name] for name in self.update_values]

    def update_metrics(self, loss: tf.Tensor, y: tf.Tensor, predictions: tf.Tensor) -> None:
        """Add a batch to the running metrics; its loss counts once for each row."""
        for name, metric in self.metrics.items():
            if name == "loss":
                metric.update_state(
                    loss, sample_weight=tf.cast(tf.shape(predictions)[0], tf.float32)
                )
            else:
                metric.update_state(y, predictions)

    def held(self, values: Any) -> Any:
        """Tensors, in any nesting, that the gradient takes for constants.

        A step draws or computes them from the weights and then differentiates as if they stood
        fixed. The gradient check keeps them while it varies the weights: nothing else could tell
        what a gradient leaves out on purpose from what it lacks.
        """
        return tf.nest.map_structure(tf.stop_gradient, values)

    def minimised(self, loss: tf.Tensor) -> tf.Tensor:
        """Name the loss whose gradient is applied, where it isn't the one that `train` returns."""
        return loss


def one_number(loss: tf.Tensor) -> tf.Tensor:
    """The loss of a batch, float32 ().

    Raises:
        UserError: it is an array, such as one loss for each row.
    """
    if loss.shape.rank:
        raise UserError(
            f"step: the loss has shape {tuple(loss.shape)} and is not one number a batch; "
            "loss.reduction=sum_over_batch_size makes it one"
        )
    return tf.cast(loss, tf.float32)
