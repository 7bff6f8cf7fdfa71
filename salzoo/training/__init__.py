"""Fitting and fine-tuning."""
