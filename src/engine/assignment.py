"""Optimizers whose assignments also work where variables stand for sweep members' tensors."""

import types

import keras
from keras.src.backend.tensorflow.optimizer import TFOptimizer
from keras.src.optimizers.base_optimizer import BaseOptimizer

# Keras' TensorFlow optimizers replace these by versions that go through tf.distribute, which takes
# nothing but tf.Variables. The plain ones make the same updates.
PLAIN = (
    "assign",
    "assign_add",
    "assign_sub",
    "_backend_update_step",
    "_var_key",
    "_apply_weight_decay",
    "_overwrite_model_variables_with_average_value",
)


def use_plain_assignments(optimizer: keras.optimizers.Optimizer) -> None:
    """Give an optimizer the plain assignments; must precede its `build`."""
    for name in PLAIN:
        if getattr(type(optimizer), name) is not getattr(TFOptimizer, name):
            continue  # an optimizer's own rule, such as Muon's two weight decays
        setattr(optimizer, name, types.MethodType(getattr(BaseOptimizer, name), optimizer))
