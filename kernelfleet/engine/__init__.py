"""The engine's process: an IPython kernel that also answers the fleet's requests."""
