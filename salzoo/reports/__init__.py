"""Figures and pages that people paste."""
