"""Datasets and Dask; nothing here is imported before somebody asks for a frame of Dask's."""
