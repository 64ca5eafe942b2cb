"""The methods of :class:`air.data.Dataset`, a module for each kind."""
