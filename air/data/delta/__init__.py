"""Delta Lake (https://github.com/delta-io/delta/blob/master/PROTOCOL.md): the library deltalake
reads and writes the log, and the rows are read and written here."""

from __future__ import annotations
