"""Studies: searches with one part changed, scored on the same tracks."""
