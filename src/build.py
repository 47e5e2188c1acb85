"""From the configuration to the objects that train: model, optimizer, loss, metrics, step."""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.models.functional import Functional
from keras.src.utils import naming

from src import initialisation, own_target, teacher
from src.augmentations.augmentation import Augmentation
from src.config import Config, check_monitored
from src.data.balance import class_weights
from src.data.dataset import Dataset
from src.engine import freezing
from src.engine.assignment import use_plain_assignments
from src.engine.precision import computed_in
from src.errors import UserError
from src.groups import Group
from src.losses.class_weighted import ClassWeighted
from src.metrics.r2_score import R2Score
from src.optimizers.accumulation import Accumulation
from src.optimizers.averaging import Averaging
from src.optimizers.loss_scaling import LossScaling
from src.preflight import check_metric
from src.recorded import Recorded
from src.steps.distillation import Teacher
from src.steps.step import Step
from src.targets import call, locate, suggest

# Ours go before Keras' of the same name.
METRICS: dict[str, Callable[..., keras.metrics.Metric]] = {"r2_score": R2Score}


def build(config: Config, dataset: Dataset, seed: int, *, tried: bool = False) -> Step:
    """The step of one run, its model and optimizer built, its weights drawn from `seed`.

    Args:
        config: which parts.
        dataset: what the model has to fit.
        seed: of all that is random in the parts.
        tried: the same parts fit the data with another seed: they are not tried again, and random
            numbers that are not Keras' own (TensorFlow's, NumPy's) are not seeded. Seeding
            TensorFlow makes it set up each of its operations anew, half the time of a build.

    Raises:
        UserError: naming the key, when a part can't be made or doesn't fit the data.
    """
    if tried:
        naming.reset_uids()
        random.seed(seed)  # Keras' initializers and dropout draw their seeds from here
    else:
        keras.utils.clear_session(free_memory=False)  # the names of layers count from one again
        keras.utils.set_random_seed(seed)
    with computed_in(config.precision):
        model = _model(config, dataset, tried=tried)
    initialisation.give(model, config)
    if config.step.train_only is not None:
        freezing.train_only(model, config.step.train_only)
    optimizer = _optimizer(config, model)
    loss = _loss(config, dataset)
    if config.accumulate > 1 and getattr(loss, "reduction", None) == "sum":
        raise UserError(
            f"loss.reduction=sum: accumulate={config.accumulate} takes the mean over the batches; "
            "leave one of them out"
        )
    metrics = {"loss": keras.metrics.Mean(name="loss")}
    metrics |= {name: _metric(name, dataset) for name in config.metrics}
    parts = {"model": model, "optimizer": optimizer, "loss": loss, "metrics": metrics}
    # For steps that ask for it.
    parts |= {
        "dataset": dataset,
        "load_teacher": partial(_teacher, Path(config.outputs).expanduser()),
    }
    step = _make("step", config.step, parts)
    if not isinstance(step, Step):
        raise UserError(f"step._target_={config.step.target}: derive it from src.steps.step.Step")
    if config.precision == "mixed_float16" and not step.SCALES_LOSS:
        raise UserError(
            f"precision=mixed_float16: {type(step).__name__} does not scale its loss, so small "
            "gradients would vanish; use precision=mixed_bfloat16"
        )
    step.log_gradients = config.step.log_gradients
    if not tried or not all(getattr(each, "_built", True) for each in step.metrics.values()):
        # Some of Keras' metrics (F1Score) make their variables only here.
        _try_on_labels(step, dataset)
    if not tried:
        _check_logits(model, loss)
        check_monitored(config, list(step.reported), step.TRAINING_ONLY)
    return step


def augmentation(config: Config, dataset: Dataset) -> Augmentation:
    """What changes the training rows at random.

    Raises:
        UserError: naming the key, when it can't be made or doesn't fit the data.
    """
    made = _make("augmentation", config.augmentation, {"input_shape": dataset.input_shape})
    if not isinstance(made, Augmentation):
        raise UserError(
            f"augmentation._target_={config.augmentation.target}: derive it from "
            "src.augmentations.augmentation.Augmentation"
        )
    return made


def _make(key: str, group: Group, offered: Mapping[str, object] | None = None) -> Any:
    target = locate(group.target, f"{key}._target_")
    return call(target, own_target.arguments(key, group, target), key=key, offered=offered)


def _loss(config: Config, dataset: Dataset) -> Any:
    loss = _make("loss", config.loss)
    if config.loss.class_weights is None:
        return loss
    if not isinstance(loss, keras.losses.Loss):
        raise UserError(
            f"loss.class_weights: {config.loss.target} makes no keras.losses.Loss, so the rows' "
            "losses are unknown; leave it out"
        )
    return ClassWeighted(loss, class_weights(config.loss.class_weights, dataset))


def _optimizer(config: Config, model: keras.Model) -> Any:
    """The built optimizer, and around it what the configuration adds to its updates."""
    optimizer = _make("optimizer", config.optimizer)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise UserError(f"optimizer._target_={config.optimizer.target}: it is no Keras optimizer")
    use_plain_assignments(optimizer)
    try:
        optimizer.build(model.trainable_variables)
    except (TypeError, ValueError) as error:  # of an argument that the constructor let pass
        raise UserError(f"optimizer: {str(error).strip().splitlines()[0]}") from error
    # An average follows the weights, so it is inside what decides whether they change.
    if config.ema.decay is not None:
        optimizer = Averaging(optimizer, model, config.ema.decay)
    if config.accumulate > 1:
        optimizer = Accumulation(optimizer, model.trainable_variables, config.accumulate)
    if config.precision == "mixed_float16":
        optimizer = LossScaling(optimizer)
    return optimizer


def _model(config: Config, dataset: Dataset, *, tried: bool) -> keras.Model:
    offered = {
        "input_shape": dataset.input_shape,
        "num_classes": dataset.num_classes,
        "classes": dataset.num_classes,  # keras.applications' name for it
        "vocabulary": dataset.vocabulary,
        "each_position": len(dataset.output_shape) > 1,
    }
    model = _make("model", config.model, offered)
    if not isinstance(model, keras.Model):
        raise UserError(f"model._target_={config.model.target}: it makes no keras.Model")
    if tried and type(model).build is not keras.Model.build:
        if not model.built:
            model.build((1, *dataset.input_shape))
        return model
    try:
        predictions = model(dataset.train.x[:1], training=False)
    except UserError:
        raise
    except Exception as error:  # a model of the user's own may raise anything
        raise UserError(
            f"model: it can't take inputs of shape {dataset.input_shape} from {dataset.name}: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    expected = (1, *dataset.output_shape)
    if tuple(predictions.shape) != expected:
        hint = "; model=transformer gives some for each position" if len(expected) > 2 else ""
        raise UserError(
            f"model: it gives outputs of shape {tuple(predictions.shape)} for one row of "
            f"{dataset.name}, which needs {expected}{hint}"
        )
    return model


def _teacher(outputs: Path, wanted: str, digest: str | None) -> Teacher:
    """The model of a recorded run with the weights of its best epoch.

    Raises:
        UserError: there is no such run, or its weights are not those of `digest`, or damaged.
    """
    try:
        run = Recorded.find(wanted, outputs)
        teacher.checked(wanted, run.folder, digest)
        inputs, weights = run.inputs(), run.weights("best").state
    except UserError as error:
        reason = str(error).removeprefix(f"run={wanted}: ").removeprefix(f"step.teacher={wanted}: ")
        raise UserError(f"step.teacher={wanted}: {reason}") from error
    with computed_in(run.config.precision):
        model = _model(run.config, inputs.stand_in(), tried=False)
    # By position: a name holds the number of the layers of its kind that were there before it.
    values = {int(name.split("/")[1]): value for name, value in weights.items()}
    shapes = {number: tuple(variable.shape) for number, variable in enumerate(model.variables)}
    if shapes != {number: value.shape for number, value in values.items()}:
        raise UserError(
            f"step.teacher={wanted}: its checkpoint is of another model than "
            f"{run.folder}/config.yaml builds"
        )
    for number, value in values.items():
        model.variables[number].assign(value)
    return Teacher(model, run.config.loss.arguments.get("from_logits"), inputs)


def _metric(name: str, dataset: Dataset) -> keras.metrics.Metric:
    labels = dataset.labels
    check_metric(name, labels)
    if name in METRICS:
        return METRICS[name](outputs=dataset.num_classes)
    if name == "accuracy":
        name = "sparse_categorical_accuracy" if labels == "integer" else "categorical_accuracy"
    try:
        found = keras.metrics.get(name)
    except ValueError as error:
        known = [_snake_case(name) for name in dir(keras.metrics) if name[0].isupper()]
        hint = suggest(name, [*known, "accuracy"])
        raise UserError(f"metrics: Keras has no metric {name!r}{hint}") from error
    if isinstance(found, type):
        found = found()
    if isinstance(found, keras.metrics.FBetaScore):  # by default a number for each class
        found = type(found).from_config(found.get_config() | {"average": "macro"})
    if isinstance(found, keras.metrics.Metric):
        return found
    return keras.metrics.MeanMetricWrapper(found, name=name)


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip(
        "_"
    )


def _try_on_labels(step: Step, dataset: Dataset) -> None:
    """Compute the loss and each metric on one row, and take it back."""
    labels = keras.ops.convert_to_tensor(dataset.train.y[:1])
    predictions = keras.ops.zeros((1, *dataset.output_shape))
    parts = {"loss": step.loss}
    for name, metric in step.metrics.items():
        if name != "loss":
            parts[f"metrics={name}"] = metric.update_state
    for key, compute in parts.items():
        try:
            compute(labels, predictions)
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{key}: it can't be computed from {dataset.labels} labels of shape "
                f"{dataset.train.y.shape[1:]}: {str(error).strip().splitlines()[0]}"
            ) from error
    for metric in step.metrics.values():
        metric.reset_state()


def _check_logits(model: keras.Model, loss: Any) -> None:
    """Keras' applications end in a softmax, unless they are told otherwise."""
    last = model.layers[-1] if isinstance(model, keras.Sequential | Functional) else None
    if getattr(last, "activation", None) is keras.activations.softmax and (
        getattr(loss, "from_logits", False)
    ):
        raise UserError(
            f"loss.from_logits=true: {model.name} gives no logits, its last layer ends in softmax; "
            "use loss.from_logits=false, or of keras.applications +model.classifier_activation=null"
        )


def model_summary(model: keras.Model) -> str:
    """Keras' table of layers, in plain ASCII of fixed width."""
    lines: list[str] = []
    model.summary(line_length=100, print_fn=lambda text, line_break=True: lines.append(text))
    return "\n".join(lines) + "\n"


def parameter_count(variables: Sequence[keras.Variable]) -> int:
    """The number of scalars in the variables."""
    return sum(int(np.prod(variable.shape)) for variable in variables)
