"""A functional model, as a user's own module may make one, and as Keras' applications are made."""

import keras


def network(input_shape, num_classes, width=5, classifier_activation=None):
    """Dense layers with normalisation and dropout."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(width, "relu")(x)
    x = keras.layers.BatchNormalization(momentum=0.5)(x)
    x = keras.layers.Dropout(0.3)(x)
    outputs = keras.layers.Dense(num_classes, classifier_activation, name="logits")(x)
    return keras.Model(inputs, outputs)
