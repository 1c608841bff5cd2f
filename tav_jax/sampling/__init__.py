"""Noise schedule, DDIM, DDPM, guidance. They see a function, never a network."""
