"""What is shown of a dataset, in terminals and in notebooks."""
