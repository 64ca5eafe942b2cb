"""Datasets and Hugging Face's; nothing here is imported before somebody hands over one of them."""
