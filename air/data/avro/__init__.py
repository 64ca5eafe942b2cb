"""Avro object container files (https://avro.apache.org/docs/1.12.0/specification/), by fastavro."""

from __future__ import annotations
