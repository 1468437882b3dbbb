"""The ranking model: GSU (search the lifelong history), ESU (attend to what was found), heads (decide)."""

from models.ranker.gsu import latest, pca, search
from models.ranker.histories import Histories
from models.ranker.model import DIN, QARM_V2, Batch, Ranker, load, reindexed, save
from models.ranker.training import Epoch, Samples, fit, predict

__all__ = [
    "DIN",
    "QARM_V2",
    "Batch",
    "Epoch",
    "Histories",
    "Ranker",
    "Samples",
    "fit",
    "latest",
    "load",
    "pca",
    "predict",
    "reindexed",
    "save",
    "search",
]
