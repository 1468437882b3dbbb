"""The ranking model: GSU (searches the lifelong history), ESU (attends to the events found), heads (one per task)."""

from models.ranker.batch import Batch
from models.ranker.design import PRESETS, Design
from models.ranker.epoch import Epoch
from models.ranker.gsu import pca, round_to_grid, search_latest, search_similar
from models.ranker.histories import Histories
from models.ranker.model import Ranker
from models.ranker.prediction import predict
from models.ranker.samples import Samples, build_samples, search_histories
from models.ranker.saved import load, reindex_items, save
from models.ranker.search_result import SearchResult
from models.ranker.training import fit
from models.training.checkpoint import Checkpoint

__all__ = [
    "PRESETS",
    "Batch",
    "Checkpoint",
    "Design",
    "Epoch",
    "Histories",
    "Ranker",
    "Samples",
    "SearchResult",
    "build_samples",
    "fit",
    "load",
    "pca",
    "predict",
    "reindex_items",
    "round_to_grid",
    "save",
    "search_histories",
    "search_latest",
    "search_similar",
]
