"""How plans are run: stages of fused operators, here or on tasks and actors."""

from __future__ import annotations
