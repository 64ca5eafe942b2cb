"""The process that runs tasks, or lives as an actor."""
