"""Rows by their key: sorted ranges of them, each held by an actor."""
