"""Databases: reading statements and writing to tables through the Python DB-API (PEP 249)."""
