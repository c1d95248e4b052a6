"""Maps and the executor: what runs where, in which batches, and again when an engine dies."""
