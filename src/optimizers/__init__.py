"""What is done around the update of any Keras optimizer, one idea a module."""
