"""The options that make up a ranker, and presets that follow published models."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Search = Literal["latest", "category", "id_embedding", "item_embedding"]
Attention = Literal["target", "semantic", "quadratic"]
Heads = Literal["single", "experts", "entire_space"]
Feature = Literal["item_id", "semantic_id", "nearest_items", "prefix"]
Extra = Literal["simtier", "rates", "similar_rates", "time", "event", "position"]


@dataclass(frozen=True)
class Design:
    """The options of one ranker.

    search     which events of the history the model reads: the latest events, the latest events of the target's
               category, or the events most similar to the target by trained ID embeddings or by item embeddings
    k          number of events
    features   how an item is described: its ID, its semantic ID (or QARM V1's RQ code: any codes that `set_codes`
               receives), its nearest items (QARM V1's VQ code), and how many leading codes an event shares with the
               target
    attention  how events are weighted: target attention (DIN), target attention with similarities (MUSE), or products
               that are cut at zero instead of a softmax, and squares of features (QIN)
    extras     SimTier's histogram of similarities; the running rates of the user and the item; how often the user took
               items like the target (similar_rates); for each event the time since it, its type, and how many events
               came after it
    heads      one network for each task; experts that the tasks share (MMoE); a purchase only after a click (ESMM)
    distinct   read each item of a history once, at its last event, instead of as often as it occurs
    lists      (type of event, k): one search and one attention for each type, instead of one over all types
    latest     so many of the latest events are a further list with an attention of its own: a search finds what is like
               the target, and forgets what the user wants at the moment
    teacher    training asks for so much of what boosted trees predict, and for the rest of what happened, see
               `teacher.add_targets`
    """

    search: Search = "item_embedding"
    k: int = 50
    features: tuple[Feature, ...] = ("item_id",)
    attention: Attention = "target"
    extras: tuple[Extra, ...] = ()
    heads: Heads = "single"
    distinct: bool = False
    lists: tuple[tuple[int, int], ...] = ()
    latest: int = 0
    teacher: float = 0.0

    @property
    def ks(self) -> tuple[int, ...]:
        """Number of events in each list: those that the search finds, then the latest."""
        searched = tuple(k for _, k in self.lists) or (self.k,)
        return (*searched, self.latest) if self.latest else searched

    @property
    def uses_similarities(self) -> bool:
        """Whether the model reads how similar an event is to the target."""
        return self.attention == "semantic" or "simtier" in self.extras

    def without(self, part: str) -> "Design":
        """The same design without one feature or extra."""
        features = tuple(feature for feature in self.features if feature != part)
        return replace(self, features=features, extras=tuple(extra for extra in self.extras if extra != part))

    @property
    def compares_items(self) -> bool:
        """Whether item vectors decide which events are found, or how similar they are."""
        reads_similarities = self.uses_similarities or "similar_rates" in self.extras
        return self.search == "item_embedding" or (reads_similarities and self.search != "id_embedding")

    def describe(self, kinds: tuple[str, ...]) -> list[str]:
        """Every option that is set, such as `search: item_embedding`. kinds: names of the event types."""
        lists = tuple(f"{kinds[kind]} {k}" for kind, k in self.lists)
        values = vars(self) | {"lists": lists, "k": 0 if lists else self.k}
        parts = {name: value if isinstance(value, tuple) else (value,) for name, value in values.items() if value}
        return [f"{name}: {', '.join(map(str, value))}" for name, value in parts.items()]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Design":
        """Read what `to_json` wrote. JSON turns tuples into lists: they become tuples again."""
        tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values | tuples | {"lists": tuple(map(tuple, values.get("lists", [])))})


PRESETS = {
    "din": Design("latest"),  # Zhou et al., KDD 2018
    "din_long": Design("latest", k=500),
    "sim_hard": Design("category"),  # Pi et al., CIKM 2020
    "sim_soft": Design("id_embedding"),
    "muse": Design("item_embedding", attention="semantic", extras=("simtier",)),  # arXiv 2512.07216
    "qarm_v1": Design("latest", features=("item_id", "semantic_id", "nearest_items", "prefix")),  # arXiv 2411.11739
    "qarm_v2": Design(  # arXiv 2602.08559, and MUSE's use of the similarities, which the search computes anyway
        "item_embedding",
        features=("item_id", "semantic_id"),
        attention="semantic",
        extras=("simtier",),
        heads="experts",
    ),
    "sidereal": Design(  # our best: qarm_v2, the latest events, similar rates, and boosted trees as a teacher
        "item_embedding",
        features=("item_id", "semantic_id"),
        attention="semantic",
        extras=("simtier", "similar_rates"),
        heads="experts",
        latest=20,
        teacher=0.5,
    ),
}
