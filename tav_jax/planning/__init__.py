"""What fits and how long it takes, from compiled programs; no chip needed."""
