"""Exact search unit (ESU): how likely a user acts on a target item, given the k events that the GSU found.

An item is the sum of the embeddings of its ID and of its codes. The target is the query of an attention over the k
events, and heads turn the result into one logit for each task. A `Design` chooses which of these parts a model has.
Source: QARM V2 (arXiv 2602.08559), section 5; QARM V1 (arXiv 2411.11739); MUSE (arXiv 2512.07216).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ranker.attention import AttentionInput, TargetAttention
from models.ranker.batch import Batch
from models.ranker.design import Design
from models.ranker.features import DOUBLINGS, TIERS, bucket_by_doubling, count_events, simtier
from models.ranker.gsu import round_to_grid
from models.ranker.head import build_head
from models.ranker.rates import RATES
from models.ranker.search_result import PADDING
from models.ranker.similar_rates import SIMILAR_RATES

HIDDEN = 64
NEAREST = 25  # length of QARM V1's VQ code


class Ranker(nn.Module):
    """Logits of every task for pairs of a user's history and a target item.

    Saved models carry the names of these arguments and of the submodules: neither can change.

    design        which of the parts below the model has
    n_items       items with an index; the row after the last is the unknown item
    tasks         names of the labels
    code_sizes    codes per level, for the features `semantic_id` and `prefix`
    nearest_of    number of items that the feature `nearest_items` chooses from
    kinds         number of event types, for the extra `event`
    dim           of every embedding, a multiple of four
    experts       number of experts, for the heads `experts` and `entire_space`
    id_dropout    share of item IDs that training hides, so that the unknown ID and the codes are trained
    dropout       of the experts' outputs
    seed          of the initial weights
    raises        ValueError if the design needs codes and there are no sizes, or if it needs the tasks click and
                  purchase and lacks one
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
        reads_codes = not {"semantic_id", "prefix"}.isdisjoint(design.features)
        if (reads_codes and not code_sizes) or ("nearest_items" in design.features and not nearest_of):
            raise ValueError(f"the features {design.features} need code_sizes or nearest_of")
        sizes = tuple(code_sizes) if reads_codes else ()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ids = nn.Embedding(n_items + 1, dim, sparse=True)  # a step updates only the rows that it reads
            embedded = sizes if "semantic_id" in design.features else ()
            self.levels = nn.ModuleList(nn.Embedding(size + 1, dim) for size in embedded)  # last row: no code
            for table in (self.ids, *self.levels):
                nn.init.normal_(table.weight, std=0.01)
            self.attentions = nn.ModuleList(TargetAttention(dim, design.attention, k) for k in design.ks)
            width = _head_width(design, dim, levels=len(sizes))
            self.head = build_head(design.heads, width, self.tasks, experts, HIDDEN, dropout)
            self.told = _build_event_tables(design, dim, kinds, levels=len(sizes))
            if "nearest_items" in design.features:
                self.near = nn.EmbeddingBag(nearest_of + 1, dim, mode="mean", padding_idx=nearest_of, sparse=True)
            if design.attention == "quadratic":
                self.left, self.right = (nn.Linear(width - HIDDEN, HIDDEN) for _ in range(2))
            for name, module in self.named_modules():
                if name.startswith(("told.", "near")) and isinstance(module, nn.Embedding | nn.EmbeddingBag):
                    nn.init.normal_(module.weight, std=0.01)
        self._register_item_buffers(sizes, nearest_of, dim)

    def _register_item_buffers(self, sizes: tuple[int, ...], nearest_of: int, dim: int) -> None:
        """What the model stores of each item beside weights. The last row is the unknown item."""
        design, n_items = self.design, self.n_items
        self.register_buffer("known", torch.zeros(n_items + 1, dtype=torch.bool))
        self.register_buffer("codes", torch.tensor(sizes, dtype=torch.int64).repeat(n_items + 1, 1))
        places = NEAREST if "nearest_items" in design.features else 0
        self.register_buffer("nearest", torch.full((n_items + 1, places), nearest_of, dtype=torch.int64))
        self.register_buffer("id_vectors", torch.zeros(n_items + 1, dim if design.search == "id_embedding" else 0))

    def set_codes(self, codes: Tensor) -> None:
        """Set every item's semantic ID. It is saved with the weights.

        codes   [n_items, levels] int64; -1: the item has no semantic ID yet
        raises  ValueError for another shape, or if a code is not below its level's size
        """
        sizes = self.codes[-1]
        if codes.shape != (self.n_items, len(sizes)):
            raise ValueError(f"codes are {list(codes.shape)}, expected {[self.n_items, len(sizes)]}")
        codes = codes.to(sizes.device)
        if (codes >= sizes).any():
            raise ValueError(f"a code is beyond its level's size, {sizes.tolist()}")
        self.codes[:-1] = torch.where(codes < 0, sizes, codes)

    def set_nearest(self, nearest: Tensor) -> None:
        """Set every item's nearest items [n_items, NEAREST] int64, from `models.quantizers.NearestItems`.

        -1: the item has none.
        """
        if nearest.shape != (self.n_items, NEAREST):
            raise ValueError(f"nearest are {list(nearest.shape)}, expected {[self.n_items, NEAREST]}")
        self.nearest[:-1] = torch.where(nearest < 0, self.nearest[-1, 0].cpu(), nearest)

    def set_id_vectors(self, vectors: Tensor) -> None:
        """Set the vectors [n_items, dim] that the search `id_embedding` compares: `id_directions` of another model."""
        self.id_vectors[:-1] = vectors

    def id_directions(self) -> Tensor:
        """ID embeddings [n_items, dim] of length 1, rounded by `round_to_grid`; zeros for items never trained on."""
        return round_to_grid(F.normalize(self.ids.weight.detach()[:-1], dim=1)) * self.known[:-1, None]

    def forward(self, batch: Batch) -> Tensor:
        """Logits [batch, tasks]."""
        lists = self._build_attention_inputs(batch)
        target = torch.cat([inputs.target for inputs, _ in lists[0]])
        features = [target, batch.history_length.log1p().unsqueeze(1) / 5]
        for attention, parts in zip(self.attentions, lists, strict=True):
            features.append(torch.cat([self._summarise_list(attention, *part) for part in parts]))
        features += [rates for rates in (batch.rates, batch.similar_rates) if rates is not None]
        x = torch.cat(features, dim=1)
        if self.design.attention == "quadratic":
            x = torch.cat([x, self.left(x) * self.right(x)], dim=1)
        with torch.autocast(x.device.type, enabled=False):  # many scores would be equal in bfloat16
            logits: Tensor = self.head(x.float())
        return logits

    def attention_weights(self, batch: Batch) -> Tensor:
        """The weight of each event in the attention of its list [batch, k], mean over the heads."""
        weights = torch.zeros(batch.topk.shape, device=batch.topk.device)
        lists = self._build_attention_inputs(batch)
        for number, (attention, parts) in enumerate(zip(self.attentions, lists, strict=True)):
            assert isinstance(attention, TargetAttention)
            for part, (inputs, _) in zip(batch.parts, parts, strict=True):
                weights[part.rows, part.columns[number]] = attention.compute_weights(inputs).mean(dim=1)
        return weights

    def _summarise_list(self, attention: nn.Module, inputs: AttentionInput, shared: Tensor | None) -> Tensor:
        """What a list of events says about the target [rows, features]."""
        interest = attention(inputs)
        features = [interest, inputs.target * interest]
        if "simtier" in self.design.extras:
            features.append(simtier(inputs.sims, inputs.padding))
        if shared is not None:
            features.append(count_events(shared, inputs.padding, self.codes.shape[1] + 1))
        return torch.cat(features, dim=1)

    def _build_attention_inputs(self, batch: Batch) -> list[list[tuple[AttentionInput, Tensor | None]]]:
        """For each list and part: the input of attention, and how many leading codes each event shares with the
        target."""
        regions = [
            [(part.rows, part.columns[number]) for part in batch.parts] for number in range(len(self.attentions))
        ]
        events = [[batch.topk[region] for region in parts] for parts in regions]
        rows = torch.cat([batch.target, *(part.flatten() for parts in events for part in parts)])
        rows = torch.where(rows == PADDING, self.n_items, rows)
        distinct, places = torch.unique(rows, return_inverse=True)  # a batch has few items, each many times
        items = self.embed_items(distinct)
        sizes = [len(batch.target), *(part.numel() for parts in events for part in parts)]
        target, *event_places = places.split(sizes)
        targets, next_places = F.embedding(target, items), iter(event_places)

        def build_input(region: tuple[slice, slice], part: Tensor) -> tuple[AttentionInput, Tensor | None]:
            event_items = next(next_places).view(part.shape)
            reads_prefix = "prefix" in self.design.features
            shared = (
                self.count_shared_prefix(distinct[target[region[0]]], distinct[event_items]) if reads_prefix else None
            )
            features, sims = self._embed_event_features(batch, region, shared), batch.sims[region]
            return AttentionInput(targets[region[0]], items, event_items, features, sims, part == PADDING), shared

        return [list(map(build_input, *pair)) for pair in zip(regions, events, strict=True)]

    def embed_items(self, rows: Tensor) -> Tensor:
        """Item embeddings [rows, dim]: the ID plus the codes. Items never trained on have the unknown ID.

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

    def count_shared_prefix(self, target: Tensor, events: Tensor) -> Tensor:
        """How many leading codes [batch, k] each event's item shares with the target; 0 if one of them has no codes."""
        a, b = self.codes[target].unsqueeze(1), self.codes[events]
        return ((a == b) & (a < self.codes[-1])).long().cumprod(dim=2).sum(dim=2)

    def _embed_event_features(self, batch: Batch, region: tuple[slice, slice], shared: Tensor | None) -> Tensor | None:
        """Features of each event in these rows and columns beside its item [rows, columns, dim], or None."""
        buckets = {
            "time": None if batch.seconds is None else bucket_by_doubling(batch.seconds[region]),
            "event": None if batch.kinds is None else batch.kinds[region],
            "position": None if batch.events_after is None else bucket_by_doubling(batch.events_after[region]),
            "prefix": shared,
        }
        features: Tensor | None = None
        for name, table in self.told.items():
            values = buckets[name]
            if values is None:
                raise ValueError(f"the design reads {name}, which the batch lacks")
            features = table(values) if features is None else features + table(values)
        return features


def _head_width(design: Design, dim: int, *, levels: int) -> int:
    """Number of inputs of the head: target, history length, rates, and what each list of events says."""
    list_width = 2 * dim + TIERS * ("simtier" in design.extras)
    list_width += (levels + 1) * ("prefix" in design.features)
    rates = RATES * ("rates" in design.extras) + SIMILAR_RATES * ("similar_rates" in design.extras)
    width = dim + 1 + rates + len(design.ks) * list_width
    return width + HIDDEN * (design.attention == "quadratic")


def _build_event_tables(design: Design, dim: int, kinds: int, *, levels: int) -> nn.ModuleDict:
    """The embeddings of event features, by the name of the extra or feature that reads them."""
    lengths = {"time": DOUBLINGS, "event": kinds, "position": DOUBLINGS}
    tables: dict[str, nn.Module] = {name: nn.Embedding(lengths[name], dim) for name in design.extras if name in lengths}
    if "prefix" in design.features:
        tables["prefix"] = nn.Embedding(levels + 1, dim)
    return nn.ModuleDict(tables)
