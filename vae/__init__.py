"""V: see vae/arch.py."""
