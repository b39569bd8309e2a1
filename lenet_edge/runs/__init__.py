"""A run's folder: its record, weights, history and checkpoints, its network in PyTorch, and its exported files."""
