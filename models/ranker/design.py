"""The grid of settings of the ranker, and the points of it that are named after papers."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Search = Literal["latest", "category", "id_embedding", "item_embedding"]
Attention = Literal["target", "semantic", "quadratic"]
Heads = Literal["single", "experts", "entire_space"]
Feature = Literal["item_id", "semantic_id", "nearest_items", "prefix"]
Extra = Literal["simtier", "rates", "time", "event", "position"]


@dataclass(frozen=True)
class Design:
    """One ranker.

    search     which events of the history are looked at: the latest, the latest of the target's category, or those
               most similar to the target by trained ID embeddings or by item embeddings
    k          how many events
    features   what an item is: its ID, its semantic ID (or QARM V1's RQ code: whatever codes the model is told), its
               nearest items (QARM V1's VQ code), and how many first codes an event shares with the target
    attention  how events are weighed: by target attention (DIN), with their similarity (MUSE), or by products that are
               cut at zero instead of a softmax, and squares of features (QIN)
    extras     SimTier's histogram of similarities; the user's and the item's running rates; of each event the time
               since it, its type, how many came after it
    heads      one network for each task; experts that the tasks share (MMoE); a purchase only after a click (ESMM)
    distinct   each item of a history once, where it last happened, not as often as it happened
    lists      (type of event, k): for each a search and an attention of its own, in place of one over all types
    """

    search: Search = "item_embedding"
    k: int = 50
    features: tuple[Feature, ...] = ("item_id",)
    attention: Attention = "target"
    extras: tuple[Extra, ...] = ()
    heads: Heads = "single"
    distinct: bool = False
    lists: tuple[tuple[int, int], ...] = ()

    @property
    def ks(self) -> tuple[int, ...]:
        """How many events of each list."""
        return tuple(k for _, k in self.lists) or (self.k,)

    @property
    def sees_similarities(self) -> bool:
        """Whether anything is made of how similar an event is to the target."""
        return self.attention == "semantic" or "simtier" in self.extras

    def without(self, part: str) -> "Design":
        """The same without one feature or extra."""
        features = tuple(one for one in self.features if one != part)
        return replace(self, features=features, extras=tuple(one for one in self.extras if one != part))

    @property
    def compares_items(self) -> bool:
        """Whether item vectors tell what is found, or how similar it is."""
        return self.search == "item_embedding" or (self.sees_similarities and self.search != "id_embedding")

    def told(self, kinds: tuple[str, ...]) -> list[str]:
        """What there is, as `search: item_embedding`, of all that is not left out; types of events by name."""
        lists = tuple(f"{kinds[kind]} {k}" for kind, k in self.lists)
        values = vars(self) | {"lists": lists, "k": 0 if lists else self.k}
        parts = {name: value if isinstance(value, tuple) else (value,) for name, value in values.items() if value}
        return [f"{name}: {', '.join(map(str, value))}" for name, value in parts.items()]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Design":
        lists = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
        return cls(**told | lists | {"lists": tuple(map(tuple, told.get("lists", [])))})


PRESETS = {
    "din": Design("latest"),  # Zhou et al., KDD 2018
    "din_long": Design("latest", k=500),
    "sim_hard": Design("category"),  # Pi et al., CIKM 2020
    "sim_soft": Design("id_embedding"),
    "muse": Design("item_embedding", attention="semantic", extras=("simtier",)),  # arXiv 2512.07216
    "qarm_v1": Design("latest", features=("item_id", "semantic_id", "nearest_items", "prefix")),  # arXiv 2411.11739
    "qarm_v2": Design(  # arXiv 2602.08559, with MUSE's use of the similarities, which the search finds anyway
        "item_embedding",
        features=("item_id", "semantic_id"),
        attention="semantic",
        extras=("simtier",),
        heads="experts",
    ),
}
