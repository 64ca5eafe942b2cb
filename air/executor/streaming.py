"""How far the producer of a stream may be ahead of its consumer, on every backend.

A producer that runs in another process stops when so many values, or values of so many bytes, have
not been taken. So what waits of a stream is never more than this, and one value. The option
``bytes_ahead`` of a task or method says another number of bytes.
"""

from __future__ import annotations

VALUES_AHEAD = 64
BYTES_AHEAD = 16 << 20
