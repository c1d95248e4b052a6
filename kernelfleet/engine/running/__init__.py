"""How an engine runs the user's code: cells, scripts, batches, interrupts, tracebacks."""
