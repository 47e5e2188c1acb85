"""What a Keras user would run in place of this harness, each as a process of its own."""
