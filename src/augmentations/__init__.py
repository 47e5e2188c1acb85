"""Random changes of the rows that are trained on."""
