"""What fits and how long it takes, from programs compiled without a chip."""
