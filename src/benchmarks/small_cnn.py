"""The benchmark's convolutional network: nothing but what its row in the table names."""

import keras


def small_cnn(input_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """Two convolutions with stride 2 and a dense layer that gives logits.

    Args:
        input_shape: (height, width, channels).
        num_classes: width of the output.
    """
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(num_classes),
        ]
    )
