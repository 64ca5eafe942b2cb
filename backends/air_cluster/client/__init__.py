"""What drivers and workers have in common: submit, call, put, get."""
