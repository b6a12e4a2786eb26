"""What the stages share: files, batches, seeds, resumable training, Keras, command-line types."""
