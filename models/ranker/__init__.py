"""The ranking model: GSU (search the lifelong history), ESU (attend to what was found), heads (decide)."""

from models.ranker.batch import Batch
from models.ranker.checkpoint import Epoch, Keeper
from models.ranker.design import PRESETS, Design
from models.ranker.gsu import exact, latest, pca, search
from models.ranker.histories import Histories
from models.ranker.model import Ranker
from models.ranker.samples import Samples, find, gathered
from models.ranker.saved import load, reindexed, save
from models.ranker.search_result import SearchResult
from models.ranker.training import fit, predict

__all__ = [
    "PRESETS",
    "Batch",
    "Design",
    "Epoch",
    "Histories",
    "Keeper",
    "Ranker",
    "Samples",
    "SearchResult",
    "exact",
    "find",
    "fit",
    "gathered",
    "latest",
    "load",
    "pca",
    "predict",
    "reindexed",
    "save",
    "search",
]
