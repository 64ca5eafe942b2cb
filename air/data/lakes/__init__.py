"""Tables of Parquet files that a log or metadata lists: what those of all kinds have in common."""

from __future__ import annotations
