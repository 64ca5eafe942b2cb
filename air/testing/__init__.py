"""For authors of backends and plug-ins, and for tests of programs that use AIR.

:mod:`air.testing.executor_suite` is the conformance suite of execution backends; it needs
``pytest``, and is not loaded from here.
"""

from __future__ import annotations

from air.testing.leaks import Belongings, check_nothing_left

__all__ = ["Belongings", "check_nothing_left"]
