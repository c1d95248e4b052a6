"""Maps: what runs where, in which batches, and again when an engine dies. Tasks use it, too."""
