"""Settings of the ranker and of the lists that it recommends."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from jobs.settings.types import Count, Days, Part, Parts, Section, Seed

TopK = Annotated[int, Field(ge=1, le=10_000)]  # number of events that a search finds


# The values of the options are repeated in this file: importing them would load PyTorch in every job.
class Ranker(Section):
    """The challenger and its training. models/ranker/design.py explains the options from search to lists."""

    # Size of every embedding in the ranker, a multiple of four.
    dim: int = Field(default=16, ge=4, le=4096, multiple_of=4)
    # What the challenger is: a published model, or our best, sidereal. It also reads running rates.
    preset: Literal["din", "din_long", "sim_hard", "sim_soft", "muse", "qarm_v1", "qarm_v2", "sidereal"] = "sidereal"
    # Which events of the history the challenger reads. Not set: as in the preset.
    search: Literal["latest", "category", "id_embedding", "item_embedding"] | None = None
    # How the challenger describes an item. Not set: as in the preset.
    features: tuple[Literal["item_id", "semantic_id", "nearest_items", "prefix"], ...] | None = None
    # How the challenger weights events. Not set: as in the preset.
    attention: Literal["target", "semantic", "quadratic"] | None = None
    # Further features of events and rows. Not set: those of the preset, and the running rates.
    extras: tuple[Literal["simtier", "rates", "similar_rates", "time", "event", "position"], ...] | None = None
    # How the tasks (click, purchase, like) share weights. Not set: as in the preset.
    heads: Literal["single", "experts", "entire_space"] | None = None
    # Read each item of a history once, at its last event, instead of as often as it occurs.
    distinct: bool = False
    # For each type of event, the number of events that a search of its own finds. Empty: one search over all types.
    lists: dict[Literal["click", "purchase", "like", "impression", "dislike"], TopK] = Field(default={})
    # Number of events that the search finds, if lists is empty. The preset din_long finds ten times as many.
    k: TopK = 50
    # So many of the latest events have an attention of their own, beside those that the search finds. Not set: as in
    # the preset.
    latest: int | None = Field(default=None, ge=0, le=10_000)
    # Training asks for so much of what boosted trees predict, and for the rest of what happened. Not set: as in the
    # preset.
    teacher: float | None = Field(default=None, ge=0, lt=1)
    # Number of dimensions to which PCA reduces the item vectors for the search.
    gsu_dim: Count = 64
    # The search reads at most this many events of a user, the latest ones.
    max_history: int = Field(default=10_000, ge=1, le=1_000_000)
    # Largest number of epochs.
    epochs: int = Field(default=6, ge=1, le=10_000)
    # Rows in a batch.
    batch: int = Field(default=1024, ge=1, le=1_000_000)
    # Learning rate.
    lr: float = Field(2e-3, gt=0, le=1)
    # Share of the experts' outputs that training hides.
    dropout: float = Field(default=0.2, ge=0, lt=1)
    # This share of the training rows, the latest ones, is not trained on: it measures which epoch is best.
    valid_share: Part = 0.1
    # Training stops when this many epochs in a row were not better than the best one before them.
    patience: Count = 1
    # Start from the champion of the days before. false: start from random weights every day.
    warm_start: bool = True
    # Number of experts, for the heads experts and entire_space.
    experts: int = Field(default=4, ge=1, le=1024)
    # Number of worker processes that share every batch. 0: one for each GPU, or one without a GPU.
    workers: int = Field(default=0, ge=0, le=4096)
    # Number of Spark's tasks that train together, each on its part of the rows; workers is not used then. 0: train on
    # the machine of the job.
    spark_parts: Parts = 0
    # Seed of the initial weights and of the order of rows.
    seed: Seed = 0

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.preset == "din_long" and self.k > 1000:
            raise ValueError("k: din_long reads ten times as many events, and a search finds at most 10,000")
        for name, values in (("features", self.features), ("extras", self.extras)):
            if values and len(set(values)) < len(values):
                raise ValueError(f"{name}: {', '.join(values)} names a value twice")
        if self.features == ():
            raise ValueError("features: a model without features of items cannot rank them: name at least one")
        return self


Source = Literal["pairs", "neighbours", "graph", "generator", "popular"]
SOURCES: tuple[Source, ...] = get_args(Source)
GENERATED: tuple[Source, ...] = ("graph", "generator")  # the sources of gold.generated


class Recommend(Section):
    """The lists that `recommend` makes for the next day."""

    # Number of items in a user's list.
    k: Count = 20
    # Largest number of items that are scored for a user.
    candidates: Count = 200
    # Where these items come from. The sources take turns: the best item of each, then the second best of each.
    sources: tuple[Source, ...] = SOURCES
    # How they are ordered. fused: by the sum of 1 / (10 + rank) over the ranks that the ranker, the item graph and the
    # generator give an item. ranker: by the ranker's score.
    order: Literal["fused", "ranker"] = "fused"
    # A user gets a list if the user acted in this many days. Popular items are counted in the same days.
    active_days: Days = 30
    # Leave out items that the user clicked, bought or liked before.
    exclude_seen: bool = True

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if len(set(self.sources)) < len(self.sources):
            raise ValueError(f"sources: {', '.join(self.sources)} names a source twice")
        if not self.sources:
            raise ValueError(f"sources: name at least one of {', '.join(SOURCES)}")
        return self
