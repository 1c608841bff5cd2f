"""The mesh of devices, where arrays lie on it, and which process writes."""
