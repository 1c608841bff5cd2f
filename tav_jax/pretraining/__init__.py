"""Training the parts of a latent diffusion model from nothing, in stages."""
