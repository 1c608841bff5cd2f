"""Numbers about videos and pictures; no module here knows a run."""
