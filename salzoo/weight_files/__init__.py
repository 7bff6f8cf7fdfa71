"""Weights in the files of any framework, by name: read without executing anything that a file holds."""

from salzoo.weight_files.reading import WeightFile, read
from salzoo.weight_files.recognising import recognise

__all__ = ["WeightFile", "read", "recognise"]
