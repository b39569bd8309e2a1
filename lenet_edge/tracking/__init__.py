"""Experiment trackers: what a training tells TensorBoard and MLflow."""
