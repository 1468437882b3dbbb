"""Exact search unit (ESU): how likely a user acts on a target, given the k events that the GSU found.

An item is the sum of an ID embedding and of embeddings of its codes. The target asks, the k events answer, heads decide
for every task. Which of all this there is, is told by a `Design`.
Source: QARM V2 (arXiv 2602.08559), section 5; QARM V1 (arXiv 2411.11739); MUSE (arXiv 2512.07216).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ranker.attention import Seen, TargetAttention
from models.ranker.design import Design
from models.ranker.head import heads
from models.ranker.rates import RATES

PADDING = -1
TIERS = 20  # of SimTier, over similarities in [-1, 1]
HIDDEN = 64
NEAREST = 25  # of QARM V1's VQ code
DOUBLINGS = 32  # tables of times and places are by powers of two


@dataclass(frozen=True)
class Batch:
    """Rows to score, as tensors on the model's device.

    target          [batch] int64, item index
    topk            [batch, k] int64, item indices of the events found, PADDING where there are fewer
    sims            [batch, k] float32 in [-1, 1], similarity of each event to the target
    history_length  [batch] float32, events in the whole history
    seconds         [batch, k] float32 between each event and the row's moment, for the extra `time`
    kinds           [batch, k] int64, the event's type, for the extra `event`
    after           [batch, k] float32, events of the user that came after it, for the extra `position`
    rates           [batch, RATES] float32, for the extra `rates`
    """

    target: Tensor
    topk: Tensor
    sims: Tensor
    history_length: Tensor
    seconds: Tensor | None = None
    kinds: Tensor | None = None
    after: Tensor | None = None
    rates: Tensor | None = None


class Ranker(nn.Module):
    """Logits of every task for pairs of a user's history and a target item.

    design        what there is of all that follows
    n_items       items that have an index; the row after the last one is the unknown item's
    tasks         names of the labels
    code_sizes    codes per level, for the features `semantic_id` and `prefix`
    nearest_of    items that the feature `nearest_items` names
    kinds         types of events, for the extra `event`
    dim           of every embedding, a multiple of four
    id_dropout    share of item IDs that training hides, so that the unknown ID and the codes learn
    seed          of the initial weights
    raises        ValueError if the design needs codes and there are no sizes, or a purchase after a click and there
                  are no such tasks
    """

    codes: Tensor
    known: Tensor
    nearest: Tensor

    def __init__(
        self,
        *,
        design: Design,
        n_items: int,
        tasks: tuple[str, ...],
        code_sizes: tuple[int, ...] = (),
        nearest_of: int = 0,
        kinds: int = 0,
        dim: int = 16,
        experts: int = 4,
        id_dropout: float = 0.1,
        dropout: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings = {k: v for k, v in locals().items() if k not in ("self", "__class__", "design")}
        self.design, self.n_items, self.tasks = design, n_items, tuple(tasks)
        self.id_dropout = id_dropout
        coded = not {"semantic_id", "prefix"}.isdisjoint(design.features)
        if (coded and not code_sizes) or ("nearest_items" in design.features and not nearest_of):
            raise ValueError(f"the features {design.features} need code_sizes or nearest_of")
        sizes = tuple(code_sizes) if coded else ()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ids = nn.Embedding(n_items + 1, dim, sparse=True)  # a step touches the rows that it reads
            own = sizes if "semantic_id" in design.features else ()
            self.levels = nn.ModuleList(nn.Embedding(size + 1, dim) for size in own)  # last: no code
            for table in (self.ids, *self.levels):
                nn.init.normal_(table.weight, std=0.01)
            self.attention = TargetAttention(dim, design.attention)
            width = 3 * dim + 1 + RATES * ("rates" in design.extras) + TIERS * ("simtier" in design.extras)
            width += (len(sizes) + 1) * ("prefix" in design.features) + HIDDEN * (design.attention == "quadratic")
            self.head = heads(design.heads, width, self.tasks, experts, HIDDEN, dropout)
            lengths = {"time": DOUBLINGS, "event": kinds, "position": DOUBLINGS}
            self.told = nn.ModuleDict(
                {name: nn.Embedding(lengths[name], dim) for name in design.extras if name in lengths}
            )
            if "prefix" in design.features:
                self.told["prefix"] = nn.Embedding(len(sizes) + 1, dim)
            if "nearest_items" in design.features:
                self.near = nn.EmbeddingBag(nearest_of + 1, dim, mode="mean", padding_idx=nearest_of, sparse=True)
            if design.attention == "quadratic":
                self.left, self.right = (nn.Linear(width - HIDDEN, HIDDEN) for _ in range(2))
            for name, small in self.named_modules():
                if name.startswith(("told.", "near")) and isinstance(small, nn.Embedding | nn.EmbeddingBag):
                    nn.init.normal_(small.weight, std=0.01)
        self.register_buffer("known", torch.zeros(n_items + 1, dtype=torch.bool))
        self.register_buffer("codes", torch.tensor(sizes, dtype=torch.int64).repeat(n_items + 1, 1))
        places = NEAREST if "nearest_items" in design.features else 0
        self.register_buffer("nearest", torch.full((n_items + 1, places), nearest_of, dtype=torch.int64))

    def set_codes(self, codes: Tensor) -> None:
        """Tell every item's semantic ID; it is kept with the weights.

        codes   [n_items, levels] int64; -1: the item has no semantic ID yet
        raises  ValueError if the shape is another or a code is beyond its level's size
        """
        sizes = self.codes[-1]
        if codes.shape != (self.n_items, len(sizes)):
            raise ValueError(f"codes are {list(codes.shape)}, expected {[self.n_items, len(sizes)]}")
        codes = codes.to(sizes.device)
        if (codes >= sizes).any():
            raise ValueError(f"a code is beyond its level's size, {sizes.tolist()}")
        self.codes[:-1] = torch.where(codes < 0, sizes, codes)

    def set_nearest(self, nearest: Tensor) -> None:
        """Tell every item's nearest items [n_items, NEAREST] int64, as `models.quantizers.NearestItems` names them."""
        if nearest.shape != (self.n_items, NEAREST):
            raise ValueError(f"nearest are {list(nearest.shape)}, expected {[self.n_items, NEAREST]}")
        self.nearest[:-1] = nearest

    def forward(self, batch: Batch) -> Tensor:
        """Logits [batch, tasks]."""
        seen, shared = self._look(batch)
        target, padding, interest = seen.target, seen.padding, self.attention(seen)
        features = [target, interest, target * interest, batch.history_length.log1p().unsqueeze(1) / 5]
        if "simtier" in self.design.extras:
            features.append(simtier(batch.sims, padding))
        if shared is not None:
            features.append(counted(shared, padding, self.codes.shape[1] + 1))
        if batch.rates is not None:
            features.append(batch.rates)
        x = torch.cat(features, dim=1)
        if self.design.attention == "quadratic":
            x = torch.cat([x, self.left(x) * self.right(x)], dim=1)
        logits: Tensor = self.head(x)
        return logits

    def shares(self, batch: Batch) -> Tensor:
        """How much each event weighs in attention [batch, k], mean over its heads."""
        return self.attention.shares(self._look(batch)[0]).mean(dim=1)

    def _look(self, batch: Batch) -> tuple[Seen, Tensor | None]:
        """What attention is told, and how many first codes [batch, k] each event shares with the target."""
        b, k = batch.topk.shape
        padding = batch.topk == PADDING
        rows = torch.cat([batch.target, batch.topk.flatten()])
        rows = torch.where(rows == PADDING, self.n_items, rows)
        distinct, at = torch.unique(rows, return_inverse=True)  # a batch names few items, many times each
        items = self.embed(distinct)
        shared = self.shared_prefix(rows[:b], rows[b:].view(b, k)) if "prefix" in self.design.features else None
        told = self.tell(batch, shared)
        return Seen(F.embedding(at[:b], items), items, at[b:].view(b, k), told, batch.sims, padding), shared

    def embed(self, rows: Tensor) -> Tensor:
        """Item embeddings [rows, dim]: ID, or the unknown ID for items never trained on, plus the codes."""
        known = self.known[rows]
        if self.training:
            known = known & (torch.rand(len(rows), device=rows.device) >= self.id_dropout)
        out: Tensor = self.ids(torch.where(known, rows, self.n_items))
        for level, table in enumerate(self.levels):
            out = out + table(self.codes[rows, level])
        if "nearest_items" in self.design.features:
            out = out + self.near(self.nearest[rows])
        return out

    def shared_prefix(self, target: Tensor, events: Tensor) -> Tensor:
        """How many first codes [batch, k] each event's item has in common with the target; 0 if either has none."""
        a, b = self.codes[target].unsqueeze(1), self.codes[events]
        return ((a == b) & (a < self.codes[-1])).long().cumprod(dim=2).sum(dim=2)

    def tell(self, batch: Batch, shared: Tensor | None) -> Tensor | None:
        """What is known of each event beside its item: [batch, k, dim], or None."""
        given = {
            "time": None if batch.seconds is None else doublings(batch.seconds),
            "event": batch.kinds,
            "position": None if batch.after is None else doublings(batch.after),
            "prefix": shared,
        }
        told: Tensor | None = None
        for name, table in self.told.items():
            values = given[name]
            if values is None:
                raise ValueError(f"the design looks at {name}, which the batch does not tell")
            told = table(values) if told is None else told + table(values)
        return told


def doublings(values: Tensor) -> Tensor:
    """Which power of two each number is above: int64 below DOUBLINGS."""
    return (values.clamp(min=0) + 1).log2().long().clamp(max=DOUBLINGS - 1)


def counted(values: Tensor, padding: Tensor, most: int) -> Tensor:
    """log(1 + events) for each value [batch, most] of values [batch, k]."""
    counts = torch.zeros(len(values), most, device=values.device)
    return counts.scatter_add_(1, values, (~padding).float()).log1p()


def simtier(sims: Tensor, padding: Tensor) -> Tensor:
    """SimTier [batch, TIERS]: log(1 + events) per tier of similarity; sims [batch, k] in [-1, 1]."""
    return counted(((sims + 1) / 2 * TIERS).long().clamp(0, TIERS - 1), padding, TIERS)
