"""C: see controller/arch.py."""
