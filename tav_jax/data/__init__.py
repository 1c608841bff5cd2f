"""Videos, datasets and their batches; files that are written whole."""
