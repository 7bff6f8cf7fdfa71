"""Scores of models of the next fixation, and of the paths that they draw, beside people's."""

from salzoo.evaluation.scanpaths.scoring import check_settings, evaluate_scanpaths, load_models
from salzoo.evaluation.scanpaths.table import ScanpathTable

__all__ = ["ScanpathTable", "check_settings", "evaluate_scanpaths", "load_models"]
