"""Latency and memory of exported files, beside PyTorch."""
