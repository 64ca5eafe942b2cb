"""Results that are kept as they are made, so that a job that was killed goes on where it was."""
