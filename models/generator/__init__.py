"""Predicts which items a user acts on next."""

from models.generator.design import PRESETS, Design
from models.generator.epoch import Epoch
from models.generator.model import Generator
from models.generator.recommend import build_trie, find_best_codes, find_best_items
from models.generator.saved import load, reindex_items, save
from models.generator.seen import seen_items
from models.generator.states import States
from models.generator.training import fit

__all__ = [
    "PRESETS",
    "Design",
    "Epoch",
    "Generator",
    "States",
    "build_trie",
    "find_best_codes",
    "find_best_items",
    "fit",
    "load",
    "reindex_items",
    "save",
    "seen_items",
]
