"""The executor and the pool: single tasks, on the dispatcher of maps."""
