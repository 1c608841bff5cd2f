"""Runs to which something happens while they are going on; see `__main__`."""
