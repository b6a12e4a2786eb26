"""Pictures of what the stages left, a file for each stage; report.py puts them together."""
