"""Datasets and PyTorch; nothing here is imported before somebody asks for tensors."""
