"""Comparisons of many training runs."""
