"""Cutting sequences into blocks, one for each engine, and joining what comes back."""
