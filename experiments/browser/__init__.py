"""The browser page: V, M and C in plain JavaScript, in which a visitor drives in the dream."""
