"""Rows with the same keys, and numbers about them."""
