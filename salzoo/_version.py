"""The version: a leaf, so that any module can tell it."""

__version__ = "0.1.0"
