"""The VAE (V): see vae/arch.py."""
