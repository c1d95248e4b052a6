"""How the user's objects become bytes and objects again: pickling, functions, shared memory."""
