"""C and the search for it: see controller/arch.py."""
