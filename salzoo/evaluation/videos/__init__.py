"""Scores of videos: each frame by the metrics of images, beside people and other videos."""

from salzoo.evaluation.videos.scoring import evaluate_videos, load_predictors
from salzoo.evaluation.videos.table import VideoTable

__all__ = ["VideoTable", "evaluate_videos", "load_predictors"]
