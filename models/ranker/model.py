"""Exact search unit (ESU): how likely a user acts on a target, given the k events that the GSU found.

An item is the sum of embeddings of its ID and of its codes. The target asks, the k events answer, heads decide
for every task. Which of all this there is, is told by a `Design`.
Source: QARM V2 (arXiv 2602.08559), section 5; QARM V1 (arXiv 2411.11739); MUSE (arXiv 2512.07216).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ranker.attention import Seen, TargetAttention
from models.ranker.batch import Batch
from models.ranker.design import Design
from models.ranker.features import DOUBLINGS, TIERS, counted, doublings, simtier
from models.ranker.gsu import exact
from models.ranker.head import heads
from models.ranker.rates import RATES
from models.ranker.search_result import PADDING

HIDDEN = 64
NEAREST = 25  # of QARM V1's VQ code


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
    id_vectors: Tensor

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
            self.attentions = nn.ModuleList(TargetAttention(dim, design.attention, k) for k in design.ks)
            of_list = 2 * dim + TIERS * ("simtier" in design.extras) + (len(sizes) + 1) * ("prefix" in design.features)
            width = dim + 1 + RATES * ("rates" in design.extras) + len(design.ks) * of_list
            width += HIDDEN * (design.attention == "quadratic")
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
        self.register_buffer("id_vectors", torch.zeros(n_items + 1, dim if design.search == "id_embedding" else 0))

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
        """Tell every item's nearest items [n_items, NEAREST] int64, as `models.quantizers.NearestItems` names them.

        -1: the item has none.
        """
        if nearest.shape != (self.n_items, NEAREST):
            raise ValueError(f"nearest are {list(nearest.shape)}, expected {[self.n_items, NEAREST]}")
        self.nearest[:-1] = torch.where(nearest < 0, self.nearest[-1, 0].cpu(), nearest)

    def set_id_vectors(self, vectors: Tensor) -> None:
        """Tell the vectors [n_items, dim] that the search `id_embedding` compares: `id_directions` of a model."""
        self.id_vectors[:-1] = vectors

    def id_directions(self) -> Tensor:
        """ID embeddings [n_items, dim] of length 1, `exact`; zeros of items never trained on, whose IDs say nothing."""
        return exact(F.normalize(self.ids.weight.detach()[:-1], dim=1)) * self.known[:-1, None]

    def tables(self) -> list[nn.Parameter]:
        """The tables of which a step reads, and updates, few rows: their gradients are sparse."""
        sparse = {id(m.weight) for m in self.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag) and m.sparse}
        return [weights for weights in self.parameters() if id(weights) in sparse]

    def forward(self, batch: Batch) -> Tensor:
        """Logits [batch, tasks]."""
        lists = self._look(batch)
        target = torch.cat([seen.target for seen, _ in lists[0]])
        features = [target, batch.history_length.log1p().unsqueeze(1) / 5]
        for attention, parts in zip(self.attentions, lists, strict=True):
            features.append(torch.cat([self._told_by(attention, *part) for part in parts]))
        if batch.rates is not None:
            features.append(batch.rates)
        x = torch.cat(features, dim=1)
        if self.design.attention == "quadratic":
            x = torch.cat([x, self.left(x) * self.right(x)], dim=1)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 scores would be full of ties
            logits: Tensor = self.head(x.float())
        return logits

    def shares(self, batch: Batch) -> Tensor:
        """How much each event weighs in the attention of its list [batch, k], mean over its heads."""
        found = torch.zeros(batch.topk.shape, device=batch.topk.device)
        for at, (attention, parts) in enumerate(zip(self.attentions, self._look(batch), strict=True)):
            assert isinstance(attention, TargetAttention)
            for part, (seen, _) in zip(batch.parts, parts, strict=True):
                found[part.rows, part.columns[at]] = attention.shares(seen).mean(dim=1)
        return found

    def _told_by(self, attention: nn.Module, seen: Seen, shared: Tensor | None) -> Tensor:
        """What a list of events says of the target [rows, features]."""
        interest = attention(seen)
        features = [interest, seen.target * interest]
        if "simtier" in self.design.extras:
            features.append(simtier(seen.sims, seen.padding))
        if shared is not None:
            features.append(counted(shared, seen.padding, self.codes.shape[1] + 1))
        return torch.cat(features, dim=1)

    def _look(self, batch: Batch) -> list[list[tuple[Seen, Tensor | None]]]:
        """For each list and part what attention is told, and how many first codes each event shares with the target."""
        cut = [[(part.rows, part.columns[at]) for part in batch.parts] for at in range(len(self.attentions))]
        events = [[batch.topk[where] for where in parts] for parts in cut]
        rows = torch.cat([batch.target, *(some.flatten() for parts in events for some in parts)])
        rows = torch.where(rows == PADDING, self.n_items, rows)
        distinct, at = torch.unique(rows, return_inverse=True)  # a batch names few items, many times each
        items = self.embed(distinct)
        target, *others = at.split([len(batch.target), *(some.numel() for parts in events for some in parts)])
        asked, following = F.embedding(target, items), iter(others)

        def seen(where: tuple[slice, slice], some: Tensor) -> tuple[Seen, Tensor | None]:
            place = next(following).view(some.shape)
            coded = "prefix" in self.design.features
            shared = self.shared_prefix(distinct[target[where[0]]], distinct[place]) if coded else None
            told, sims = self.tell(batch, where, shared), batch.sims[where]
            return Seen(asked[where[0]], items, place, told, sims, some == PADDING), shared

        return [list(map(seen, *pair)) for pair in zip(cut, events, strict=True)]

    def embed(self, rows: Tensor) -> Tensor:
        """Item embeddings [rows, dim]: ID, or the unknown ID for items never trained on, plus the codes.

        Without the feature `item_id` every item has the unknown ID.
        """
        known = self.known[rows] & ("item_id" in self.design.features)
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

    def tell(self, batch: Batch, where: tuple[slice, slice], shared: Tensor | None) -> Tensor | None:
        """What is known of each event of those rows and columns beside its item: [rows, columns, dim], or None."""
        given = {
            "time": None if batch.seconds is None else doublings(batch.seconds[where]),
            "event": None if batch.kinds is None else batch.kinds[where],
            "position": None if batch.after is None else doublings(batch.after[where]),
            "prefix": shared,
        }
        told: Tensor | None = None
        for name, table in self.told.items():
            values = given[name]
            if values is None:
                raise ValueError(f"the design looks at {name}, which the batch does not tell")
            told = table(values) if told is None else told + table(values)
        return told
