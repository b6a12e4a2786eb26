"""Studies: searches that differ in one part, scored on the same unseen tracks."""
