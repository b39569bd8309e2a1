"""How good a model is: its accuracy, its agreement with the PyTorch model, and what an exported file proves itself."""
