"""Batches cut from blocks: their formats, their sizes, and handing them over ahead of use."""
