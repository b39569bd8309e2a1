"""The networks: their architectures in PyTorch, the recipes that train them, and weights that come from elsewhere."""
