"""Data sources, and how their arrays become the splits of a run. NumPy alone, no TensorFlow."""
