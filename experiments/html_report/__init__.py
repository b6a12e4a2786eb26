"""The HTML report: its sections, their figures, and how the files in them were made."""
