"""What `python -m src.benchmark` measures, with what, and how it is reported.

`rows/` holds what is measured, a subject a file; `peers/` what trains the same model in other ways,
each in a process of its own; `scripts/` what a Keras user would run in place of this harness.
"""
