"""Tracking: the run's journal is the truth, MLflow a view that another process fills from it."""
