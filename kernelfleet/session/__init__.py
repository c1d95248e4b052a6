"""The reliable connection to a controller: each message arrives once, or why not is told."""
