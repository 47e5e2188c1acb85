"""`tf.GradientTape` shown at work, and its gradients checked against finite differences."""
