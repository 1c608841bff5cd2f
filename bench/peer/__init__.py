"""The method here and in PyTorch, side by side; see `__main__`."""
