"""How engines come, come back and go: registry, launch, startup, restart policy."""
