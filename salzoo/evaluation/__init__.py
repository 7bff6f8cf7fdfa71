"""Scores of models, baselines and other tools' maps on a dataset."""

from salzoo.evaluation.scoring import evaluate, load_predictors, map_predictor, predictor
from salzoo.evaluation.table import Table

__all__ = ["Table", "evaluate", "load_predictors", "map_predictor", "predictor"]
