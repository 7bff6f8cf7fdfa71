"""Metrics of scanpaths: scores of a model's density of the next fixation, similarities of paths, their statistics.

Only the likelihood of the next fixation ranks models; see `conditional_log_likelihood`.
"""

from salzoo.metrics.scanpaths._columns import CONDITIONAL, METRICS, SIMILARITIES, Column
from salzoo.metrics.scanpaths.conditional import conditional_auc, conditional_log_likelihood, conditional_nss
from salzoo.metrics.scanpaths.multimatch import MultiMatch, multimatch
from salzoo.metrics.scanpaths.recurrence import Recurrence, cross_recurrence, recurrence
from salzoo.metrics.scanpaths.saccades import DIRECTIONS, Saccades, direction_shares, saccade_statistics, saccades
from salzoo.metrics.scanpaths.strings import scan_match, string_edit
from salzoo.metrics.scanpaths.warping import dtw, frechet, stde

__all__ = [
    "CONDITIONAL",
    "DIRECTIONS",
    "METRICS",
    "SIMILARITIES",
    "Column",
    "MultiMatch",
    "Recurrence",
    "Saccades",
    "conditional_auc",
    "conditional_log_likelihood",
    "conditional_nss",
    "cross_recurrence",
    "direction_shares",
    "dtw",
    "frechet",
    "multimatch",
    "recurrence",
    "saccade_statistics",
    "saccades",
    "scan_match",
    "stde",
    "string_edit",
]
