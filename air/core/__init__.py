"""The tasks and actors that a person types, on top of :mod:`air.executor`."""
