"""What is raised for values that there is no way for; anything else is a mistake of ours."""

from __future__ import annotations

import pyarrow as pa

NO_KERNEL = (pa.ArrowInvalid, pa.ArrowNotImplementedError)
"""By a function of Arrow that does not know a type, or whose result would be too large."""

NO_CAST = (*NO_KERNEL, pa.ArrowTypeError)
"""By Arrow where it brings values to another type."""

NO_COLUMN = (pa.ArrowException, OverflowError, TypeError, ValueError)
"""By Arrow, numpy or pandas where objects of Python become a column."""
