"""Videos, datasets and their batches, and the embedded example."""
