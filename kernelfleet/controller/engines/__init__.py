"""One engine at work: its queue, its request in flight, its channels, its outputs."""
