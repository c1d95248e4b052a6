"""What an engine publishes: streams, displays, limits, and the log of what was printed."""
