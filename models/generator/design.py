"""The options that make up a generator, and presets that follow published models."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Input = Literal["id", "text", "words", "codes"]
Backbone = Literal["causal", "encoder_decoder"]
Head = Literal["items", "codes", "parallel"]


@dataclass(frozen=True)
class Design:
    """The options of one generator.

    inputs         what an item's vector is the sum of: an embedding of its ID, a projection of its text vector,
                   embeddings of the words of its text, and an embedding of each of its codes
    heads          what the state of a history predicts: the next item itself, its codes one after another, or all its
                   codes at once. With several heads the losses are added, and the first measures the epochs
    backbone       what the heads see: the last state of the history, or all its states (cross-attention of the head
                   `codes`)
    layers         transformer blocks
    dim            of all vectors
    attention      number of attention heads; divides dim
    length         how many of the latest events of a history the model reads
    dropout        of the input vectors
    block_dropout  inside the blocks
    item_weight    how much the scores of the head `items` count when it ranks what the head `codes` found
    id_dropout     share of item IDs that training hides, so that text and codes alone describe an item, too
    """

    inputs: tuple[Input, ...] = ("id",)
    heads: tuple[Head, ...] = ("items",)
    backbone: Backbone = "causal"
    layers: int = 2
    dim: int = 128
    attention: int = 2
    length: int = 50
    dropout: float = 0.5
    block_dropout: float = 0.2
    item_weight: float = 1.0
    id_dropout: float = 0.0

    @property
    def reads_codes(self) -> bool:
        """Whether the model has embeddings of codes."""
        return "codes" in self.inputs or not {"codes", "parallel"}.isdisjoint(self.heads)

    @property
    def reads_queries(self) -> bool:
        """Whether the model can find items for a text: it knows items by their texts."""
        return not {"text", "words"}.isdisjoint(self.inputs)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Design":
        """Read what `to_json` wrote. JSON turns tuples into lists: they become tuples again."""
        tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values | tuples)


PRESETS = {
    "sidereal": Design(("id", "text", "words"), ("codes", "items"), layers=1, id_dropout=0.2),
    "sasrec": Design(("id",), ("items",)),  # Kang and McAuley, ICDM 2018, with a sampled softmax
    "tiger": Design(("codes",), ("codes",), "encoder_decoder"),  # Rajput et al., NeurIPS 2023
    "rpg": Design(("codes",), ("parallel",)),  # Hou et al., arXiv 2506.05781
}
