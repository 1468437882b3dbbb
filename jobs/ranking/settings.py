"""Settings of the ranker and of the lists that it recommends."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from jobs.settings.types import Count, Days, Part, Section, Seed

TopK = Annotated[int, Field(ge=1, le=10_000)]  # events that a search hands on


class Ranker(Section):
    dim: int = Field(default=16, ge=4, le=4096, multiple_of=4)  # four heads share it
    # The challenger is a preset of models/ranker/design.py, and the extra rates; search to heads, where told, stand in
    # place of all its own. Their values stand here again, as importing them would load PyTorch for every job.
    preset: Literal["din", "din_long", "sim_hard", "sim_soft", "muse", "qarm_v1", "qarm_v2"] = "qarm_v2"
    search: Literal["latest", "category", "id_embedding", "item_embedding"] | None = None
    features: tuple[Literal["item_id", "semantic_id", "nearest_items", "prefix"], ...] | None = None
    attention: Literal["target", "semantic", "quadratic"] | None = None
    extras: tuple[Literal["simtier", "rates", "time", "event", "position"], ...] | None = None
    heads: Literal["single", "experts", "entire_space"] | None = None
    distinct: bool = False  # each item of a history once
    lists: dict[Literal["click", "purchase", "like", "impression"], TopK] = Field(
        default={}
    )  # so many of each type by itself
    k: TopK = 50  # history items that GSU hands to ESU, where there are no lists; din_long takes ten times as many
    gsu_dim: Count = 64  # PCA of the item embeddings
    max_history: int = Field(default=10_000, ge=1, le=1_000_000)
    epochs: int = Field(default=6, ge=1, le=10_000)
    batch: int = Field(default=1024, ge=1, le=1_000_000)
    lr: float = Field(2e-3, gt=0, le=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    valid_share: Part = 0.1
    patience: Count = 1
    warm_start: bool = True  # go on from the champion of the days before; false: from nothing every day
    experts: int = Field(default=4, ge=1, le=1024)  # of heads experts and entire_space
    ranks: int = Field(default=0, ge=0, le=4096)  # processes that share a batch; 0: one for each GPU, or one
    seed: Seed = 0

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.preset == "din_long" and self.k > 1000:
            raise ValueError("k: din_long looks at ten times as many events, and no search at more than 10,000")
        for name, told in (("features", self.features), ("extras", self.extras)):
            if told and len(set(told)) < len(told):
                raise ValueError(f"{name}: {', '.join(told)} names one twice")
        if self.features == ():
            raise ValueError("features: a model that is told nothing of items ranks none: name at least one")
        return self


class Recommend(Section):
    k: Count = 20
    candidates: Count = 200
    active_days: Days = 30
    exclude_seen: bool = True
