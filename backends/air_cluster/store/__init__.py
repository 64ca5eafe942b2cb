"""Values in shared memory: written with one copy, read with none, on one machine.

``layout``   where the parts of a value lie in its range, and the address of that range
``arena``    which ranges of a segment are free (pure)
``copying``  the fastest way to copy, by size
``segment``  anonymous shared memory and its mappings
``writer``   puts values into segments that the node grants
``reader``   rebuilds values over the segments of others
``files``    values on disk, when memory is short
``pins``     tells when the last buffer of a value that was read is garbage
"""

from __future__ import annotations

from air_cluster.store.layout import Location
from air_cluster.store.reader import Reader
from air_cluster.store.writer import Writer

__all__ = ["Location", "Reader", "Writer"]
