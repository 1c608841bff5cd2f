"""Reading and writing videos, and the embedded example."""
