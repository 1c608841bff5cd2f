"""Noise schedule, DDIM and guidance. They see a function, never a network."""
