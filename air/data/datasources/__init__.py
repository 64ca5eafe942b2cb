"""The sources that come with the toolkit, one module each."""

from __future__ import annotations
