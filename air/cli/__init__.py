"""The `air` command."""
