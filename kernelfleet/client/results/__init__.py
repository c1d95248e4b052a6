"""What a call gives back: a PendingResult, the wait for it, and how replies become values."""
