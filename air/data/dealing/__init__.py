"""Rows that are dealt out to several consumers while they are made."""
