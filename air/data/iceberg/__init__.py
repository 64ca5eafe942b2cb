"""Apache Iceberg (https://iceberg.apache.org/spec/): the library pyiceberg knows catalogs and reads
and writes metadata, and the rows are read and written here."""

from __future__ import annotations
