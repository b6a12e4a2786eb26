"""Shared code of the stages: files, batches, seeds, resumable training, Keras, command-line types."""

from pipeline.environment import drop_settings

drop_settings()
