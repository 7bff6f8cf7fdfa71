"""Mappings from the authors' tensors to ours, one file a model."""
