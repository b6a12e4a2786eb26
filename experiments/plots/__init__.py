"""Figures of the stages' output, one module per stage; report.py collects them."""
