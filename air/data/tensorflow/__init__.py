"""Datasets and TensorFlow; nothing here is imported before somebody asks for tensors."""
