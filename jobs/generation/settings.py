"""Settings of the generator."""

from typing import Literal, Self

from pydantic import Field, model_validator

from jobs.settings.types import Count, Days, Section, Seed


# The names of the presets are repeated in this file: importing them would load PyTorch in every job.
class Generator(Section):
    """The lists that `generate` makes ahead of time for every active user. `recommend` ranks their items."""

    # What makes the lists. graph: the item graph, which items follow which in the histories. It needs no training.
    # The others are trained every day and make lists beside the graph, as long as they find no less than the graph.
    # sidereal: predicts semantic IDs and items from IDs, texts and words. sasrec: predicts items from IDs. tiger and
    # rpg: predict semantic IDs from semantic IDs, code by code or all codes at once.
    preset: Literal["graph", "sidereal", "sasrec", "tiger", "rpg"] = "sidereal"
    # The item graph of a day holds the pairs of this many days.
    graph_days: Days = 180
    # Largest number of items in a user's list.
    k: Count = 50
    # Number of prefixes of semantic IDs that the search for a user's list keeps, at least k. Wider is slower.
    beam: int = Field(default=64, ge=1, le=10_000)
    # A generator is trained on what users did in this many days before the day.
    train_days: Days = 180
    # Largest number of epochs of the training.
    epochs: int = Field(default=30, ge=1, le=10_000)
    # Events in a batch.
    tokens: int = Field(default=2048, ge=2, le=10_000_000)
    # Items that a batch compares the next items with, drawn at random.
    negatives: int = Field(default=2048, ge=1, le=10_000_000)
    # Learning rate.
    lr: float = Field(1e-3, gt=0, le=1)
    # Number of users whose next item chooses the best epoch. As many others decide whether the generator goes live.
    valid_users: Count = 2000
    # Training stops when this many epochs in a row were not better than the best one before them.
    patience: Count = 2
    # Start from the generator of the live release. false: start from random weights every day.
    warm_start: bool = True
    # Number of worker processes that share every batch. 0: one for each GPU, or one without a GPU.
    workers: int = Field(default=0, ge=0, le=4096)
    # Seed of the initial weights, of the order of histories and of the negatives.
    seed: Seed = 0

    @model_validator(mode="after")
    def _check_beam(self) -> Self:
        if self.preset in ("sidereal", "tiger") and self.beam < self.k:
            raise ValueError(f"beam: {self.beam} prefixes lead to fewer than k = {self.k} items: raise beam or lower k")
        return self
