"""Search spaces and the algorithms that propose configurations from them."""

from __future__ import annotations

from air.tune.search.basic_variant import BasicVariantGenerator
from air.tune.search.searcher import Searcher

__all__ = ["BasicVariantGenerator", "Searcher"]
