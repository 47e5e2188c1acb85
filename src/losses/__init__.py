"""Losses that Keras doesn't have; the others are used from `keras.losses` as they are."""
