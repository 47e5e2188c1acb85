"""Metrics that Keras doesn't have, or not in a form that holds; `src.build` prefers them."""
