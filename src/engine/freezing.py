"""Training some variables of a model and leaving the others as they are, as in fine-tuning."""

import re

import keras

from src.errors import UserError

NAMED = 60  # variables that an error message lists


def train_only(model: keras.Model, pattern: str) -> None:
    """Freeze the trainable variables of a built model whose path `pattern` is not found in.

    They are then no `trainable_variables`, so neither gradients nor weight decay, momentum or
    averages reach them. A layer of which nothing is trained is frozen whole, as Keras means it:
    batch normalisation then uses its moving statistics and leaves them unchanged
    (`keras.layers.BatchNormalization`, "About setting layer.trainable = False").

    Must precede the optimizer's `build`.

    Args:
        model: with its variables made.
        pattern: a regular expression, searched for in paths such as `mlp/dense_1/kernel`.

    Raises:
        UserError: it is found in none; the message lists them.
    """
    paths = [variable.path for variable in model.trainable_variables]
    kept = {id(v) for v in model.trainable_variables if re.search(pattern, v.path)}
    if not kept:
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        raise UserError(
            f"step.train_only={pattern}: it matches no variable of the model, which has "
            f"{', '.join(paths[:NAMED])}{more}"
        )
    for layer in model._flatten_layers(include_self=False):
        if kept.isdisjoint(id(variable) for variable in layer.trainable_variables):
            layer.trainable = False
    for variable in model.trainable_variables:
        if id(variable) not in kept:
            variable.trainable = False
