"""Models: one idea a file. The number of classes and the shape of the input come from the data."""
