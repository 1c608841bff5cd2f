"""The networks. They know no config file, mesh, flag or file format."""
