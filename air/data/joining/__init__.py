"""Rows of two datasets that have equal keys, put together."""
