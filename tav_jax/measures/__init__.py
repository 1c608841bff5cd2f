"""Numbers about videos and pictures; nothing here knows a run."""
