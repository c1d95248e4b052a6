"""The files by which a fleet is found: its directory, its lock and its connection file."""
