"""Datasets and Polars; nothing here is imported before somebody asks for its frames."""
