"""Training a network: in one process or several, with fake quantization or without."""
