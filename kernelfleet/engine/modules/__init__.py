"""How an engine imports what the client can, as current as the client has it."""
