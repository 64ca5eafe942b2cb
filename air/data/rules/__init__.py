"""Rewrites of plans; see :mod:`air.data.optimizer`."""
