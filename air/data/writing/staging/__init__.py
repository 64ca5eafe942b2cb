"""How files come to be seen: all at once, or not at all.

They are written to a hidden directory, which readers skip (``area.py``), and move to their places
when all are there (``moves.py``). What a program that was killed has left is finished or removed by
the next write to the same place (``leftovers.py``).
"""

from __future__ import annotations

from air.data.writing.staging.area import Staging as Staging
from air.data.writing.staging.leftovers import cut_short as cut_short
from air.data.writing.staging.leftovers import settle as settle
from air.data.writing.staging.modes import WriteMode as WriteMode
from air.data.writing.staging.modes import check_mode as check_mode
from air.data.writing.staging.modes import is_filled as is_filled
from air.data.writing.staging.modes import missing_directories as missing_directories
from air.data.writing.staging.modes import refuse_filled as refuse_filled
