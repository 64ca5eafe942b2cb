"""Blocks, and how they are made of what users hold and turned back into it."""
