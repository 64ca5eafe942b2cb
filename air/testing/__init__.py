"""For authors of backends and plug-ins, and for tests of programs that use AIR."""

from __future__ import annotations
