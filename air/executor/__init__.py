"""The seam: the interface between AIR's libraries and the backends that run them."""
