"""Users' functions: described, called, tried row by row, and told where they failed."""
