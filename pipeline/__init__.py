"""Shared code of the stages: files, batches, seeds, resumable training, Keras, command-line types."""
