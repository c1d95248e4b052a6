"""The session with a controller: each message arrives once, or an error says why not."""
