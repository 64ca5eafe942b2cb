"""Expressions over columns: what they say, the operators they become, and what they rule out."""
