"""The mesh, where arrays lie on it, and which process does what."""
