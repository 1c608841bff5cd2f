"""Noise schedule, samplers, guidance. They see a function, never a network."""
