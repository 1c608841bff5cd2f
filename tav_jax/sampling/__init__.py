"""Noise schedule, samplers, guidance; they take a function, not a network."""
