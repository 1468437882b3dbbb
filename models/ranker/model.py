"""Exact search unit (ESU): how likely a user acts on a target, given the k events that the GSU found.

An item is the sum of an ID embedding and one embedding per semantic-ID level. The target asks, the k events
answer (target attention), a mixture of experts decides for every task.
Source: QARM V2 (arXiv 2602.08559), section 5; similarity features from MUSE (arXiv 2512.07216).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from models.ranker.head import MultiGateExperts

PADDING = -1
QARM_V2: dict[str, Any] = {"simtier": True}  # with code_sizes, on what gsu.search finds
DIN: dict[str, Any] = {"simtier": False, "code_sizes": None}  # on gsu.latest
TIERS = 20  # of SimTier, over similarities in [-1, 1]
HEADS, HIDDEN = 4, 64


@dataclass(frozen=True)
class Batch:
    """Rows to score, as tensors on the model's device.

    target          [batch] int64, item index
    topk            [batch, k] int64, item indices of the events found, PADDING where there are fewer
    sims            [batch, k] float32 in [-1, 1], similarity of each event to the target
    history_length  [batch] float32, events in the whole history
    """

    target: Tensor
    topk: Tensor
    sims: Tensor
    history_length: Tensor


class Ranker(nn.Module):
    """Logits of every task for pairs of a user's history and a target item.

    n_items     items that have an index; the row after the last one is the unknown item's
    tasks       names of the labels
    code_sizes  codes per semantic-ID level, None: item IDs alone
    dim         of every embedding, a multiple of HEADS
    simtier     use the similarities: SimTier histogram and semantic-aware attention (MUSE)
    id_dropout  share of item IDs that training hides, so that the unknown ID and the codes learn
    seed        of the initial weights
    """

    codes: Tensor
    known: Tensor

    def __init__(
        self,
        *,
        n_items: int,
        tasks: tuple[str, ...],
        code_sizes: tuple[int, ...] | None,
        dim: int = 16,
        experts: int = 4,
        simtier: bool = True,
        id_dropout: float = 0.1,
        dropout: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.n_items, self.tasks = n_items, tuple(tasks)
        self.simtier, self.id_dropout = simtier, id_dropout
        sizes = tuple(code_sizes or ())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ids = nn.Embedding(n_items + 1, dim)
            self.levels = nn.ModuleList(nn.Embedding(size + 1, dim) for size in sizes)  # last: no code
            for table in (self.ids, *self.levels):
                nn.init.normal_(table.weight, std=0.01)
            self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)
            self.nothing = nn.Parameter(torch.zeros(HEADS))
            self.mix = nn.Parameter(torch.tensor([1.0, 1.0, 0.0]).repeat(HEADS, 1)) if simtier else None
            self.head = MultiGateExperts(
                width=3 * dim + 1 + simtier * TIERS,
                tasks=len(self.tasks),
                experts=experts,
                hidden=HIDDEN,
                dropout=dropout,
            )
        self.register_buffer("known", torch.zeros(n_items + 1, dtype=torch.bool))
        self.register_buffer("codes", torch.tensor(sizes, dtype=torch.int64).repeat(n_items + 1, 1))

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

    def forward(self, batch: Batch) -> Tensor:
        """Logits [batch, tasks]."""
        b, k = batch.topk.shape
        padding = batch.topk == PADDING
        rows = torch.cat([batch.target, batch.topk.flatten()])
        rows = torch.where(rows == PADDING, self.n_items, rows)
        distinct, at = torch.unique(rows, return_inverse=True)  # a batch names few items, many times each
        items = self.embed(distinct)
        target = F.embedding(at[:b], items)
        interest = self.attend(target, items, at[b:].view(b, k), batch.sims, padding)
        features = [target, interest, target * interest, batch.history_length.log1p().unsqueeze(1) / 5]
        if self.simtier:
            features.append(simtier(batch.sims, padding))
        logits: Tensor = self.head(torch.cat(features, dim=1))
        return logits

    def embed(self, rows: Tensor) -> Tensor:
        """Item embeddings [rows, dim]: ID, or the unknown ID for items never trained on, plus the codes."""
        known = self.known[rows]
        if self.training:
            known = known & (torch.rand(len(rows), device=rows.device) >= self.id_dropout)
        out: Tensor = self.ids(torch.where(known, rows, self.n_items))
        for level, table in enumerate(self.levels):
            out = out + table(self.codes[rows, level])
        return out

    def attend(self, target: Tensor, items: Tensor, at: Tensor, sims: Tensor, padding: Tensor) -> Tensor:
        """Target attention [batch, dim] over the events items[at], or over nothing.

        target [batch, dim], items [distinct, dim], at [batch, k] row of items, sims and padding [batch, k]
        """
        b, k = at.shape
        query = self.query(target).view(b, HEADS, -1)
        keys = F.embedding(at, self.key(items)).view(b, k, HEADS, -1)
        values = F.embedding(at, items).view(b, k, HEADS, -1)
        score = torch.einsum("bhd,bkhd->bhk", query, keys) / query.shape[2] ** 0.5
        if self.mix is not None:  # MUSE's semantic-aware attention
            own, similarity, both = self.mix.T.unsqueeze(2)
            s = sims.unsqueeze(1)
            score = own * score + similarity * s + both * score * s
        score = score.masked_fill(padding.unsqueeze(1), -torch.inf)
        nothing = self.nothing.expand(b, -1).unsqueeze(2)  # keeps an empty history defined
        share = torch.cat([nothing, score], dim=2).softmax(dim=2)[:, :, 1:]
        return torch.einsum("bhk,bkhd->bhd", share, values).flatten(1)


def simtier(sims: Tensor, padding: Tensor) -> Tensor:
    """SimTier [batch, TIERS]: log(1 + events) per tier of similarity; sims [batch, k] in [-1, 1]."""
    tier = ((sims + 1) / 2 * TIERS).long().clamp(0, TIERS - 1)
    counts = torch.zeros(len(sims), TIERS, device=sims.device)
    return counts.scatter_add_(1, tier, (~padding).float()).log1p()


def reindexed(old: Ranker, old_index: Tensor, codes: Tensor | None = None) -> Ranker:
    """The same model over another list of items: a warm start, or yesterday's champion on today's items.

    old_index  [items] int64, the item's index in the old model, -1 if it has none: unknown, no code
    codes      [items, levels] int64 to use from now on, None to keep those that the old model knows
    """
    new = Ranker(**{**old.settings, "n_items": len(old_index)}).to(old.known.device)
    rows = torch.cat([old_index, old_index.new_tensor([-1])]).to(old.known.device)
    rows = torch.where(rows < 0, old.n_items, rows)
    state = old.state_dict()
    new.load_state_dict(state | {name: state[name][rows] for name in ("ids.weight", "known", "codes")})
    if codes is not None:
        new.set_codes(codes)
    return new.train(old.training)


def save(model: Ranker, folder: Path) -> None:
    """Write model.safetensors and model.json (the keyword arguments) into an existing folder."""
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(model.settings, indent=2) + "\n")


def load(folder: Path) -> Ranker:
    """What save wrote, ready to predict. Raises FileNotFoundError if a file is missing."""
    model = Ranker(**json.loads((folder / "model.json").read_text()))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()
