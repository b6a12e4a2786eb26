"""The controller (C) and its search: see controller/arch.py and controller/search.py."""
