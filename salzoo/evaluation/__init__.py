"""Models, baselines and other tools' maps by metrics on a data set."""

from salzoo.evaluation.scoring import evaluate, load_predictors, map_predictor, predictor
from salzoo.evaluation.table import Table

__all__ = ["Table", "evaluate", "load_predictors", "map_predictor", "predictor"]
