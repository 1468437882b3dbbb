"""What a state predicts: the next item, its codes one after another, or all its codes at once."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.dropout import dropout
from models.generator.design import Design
from models.generator.states import States

TEMPERATURE = 0.03  # of the cosines in `ParallelCodes`, as in RPG
LOWEST = torch.finfo(torch.float32).min


def sampled_softmax(states: Tensor, negatives: Tensor, targets: Tensor, places: Tensor) -> Tensor:
    """Cross-entropy [states] of the next item of each state against negatives that all states share.

    A negative that is the state's next item does not count as a negative.

    states     [states, dim]
    negatives  [negatives, dim] vectors of different items
    targets    [states, dim] vectors of the next items
    places     [states] int64, the place of each target among the negatives; -1 if it is not there
    """
    scores = (states @ negatives.T).float()
    rows = (places >= 0).nonzero().squeeze(1)
    scores[rows, places[rows]] = LOWEST
    target_scores = (states * targets).sum(dim=1).float()
    return torch.logaddexp(scores.logsumexp(dim=1), target_scores) - target_scores


class CodeDecoder(nn.Module):
    """Predicts the next code of an item from a state and the codes before it.

    The history is read once, and each code costs a small network ("lazy decoder", OneRec-V2). With the backbone
    `encoder_decoder` the network also attends to all states of the history (TIGER).
    """

    def __init__(self, design: Design, levels: int) -> None:
        super().__init__()
        dim = design.dim
        self.dropout = design.block_dropout
        self.level = nn.Parameter(torch.zeros(levels, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(levels))
        self.wide = nn.ModuleList(nn.Linear(dim, 4 * dim) for _ in range(levels))
        self.narrow = nn.ModuleList(nn.Linear(4 * dim, dim) for _ in range(levels))
        self.out_norm = nn.LayerNorm(dim)
        self.cross = CrossAttention(design) if design.backbone == "encoder_decoder" else None

    def forward(self, level: int, states: States, prefixes: Tensor) -> Tensor:
        """Vectors [n, dim] whose products with the embeddings of the level's codes are their logits.

        prefixes  [n, dim] sum of the embeddings of the codes before the level
        """
        x = states.last + prefixes * prefixes.shape[1] ** 0.5 + self.level[level]
        if self.cross is not None:
            x = x + self._drop(self.cross(x, states))
        hidden = self._drop(F.gelu(self.wide[level](self.norms[level](x))))
        decoded: Tensor = self.out_norm(x + self._drop(self.narrow[level](hidden)))
        return decoded

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


class CrossAttention(nn.Module):
    """Attention from n queries to the states of their sequences."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.heads = design.attention
        self.norm, self.query = nn.LayerNorm(design.dim), nn.Linear(design.dim, design.dim)
        self.key_value, self.out = nn.Linear(design.dim, 2 * design.dim), nn.Linear(design.dim, design.dim)

    def forward(self, x: Tensor, states: States) -> Tensor:
        """What the queries x [n, dim] find [n, dim]. Queries of one sequence share its keys: nothing is copied."""
        assert states.history is not None
        if not len(x):
            return x
        sequences, groups, counts = torch.unique_consecutive(states.rows, return_inverse=True, return_counts=True)
        ranks = torch.arange(len(x), device=x.device) - (counts.cumsum(0) - counts)[groups]
        query = x.new_zeros(len(sequences), int(counts.max()), x.shape[1])
        query[groups, ranks] = self.query(self.norm(x)).to(x.dtype)
        visible = states.visible.new_ones(query.shape[:2])
        visible[groups, ranks] = states.visible
        key, value = self.key_value(states.history[sequences]).chunk(2, dim=2)
        is_visible = torch.arange(key.shape[1], device=x.device) < visible.unsqueeze(2)
        query, key, value = (self._split_heads(part.to(key.dtype)) for part in (query, key, value))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=is_visible.unsqueeze(1))
        result: Tensor = self.out(attended.transpose(1, 2).flatten(2)[groups, ranks])
        return result

    def _split_heads(self, x: Tensor) -> Tensor:
        """[sequences, heads, n, dim of a head] from [sequences, n, dim]."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class ParallelCodes(nn.Module):
    """Predicts all codes at once, each from the state alone: cosines at a low temperature (RPG, arXiv 2506.05781)."""

    def __init__(self, design: Design, levels: int) -> None:
        super().__init__()
        self.levels, self.dropout = levels, design.block_dropout
        self.project = nn.Linear(design.dim, levels * design.dim)

    def forward(self, states: Tensor, tables: list[Tensor]) -> list[Tensor]:
        """Log-probabilities [n, codes] of each level.

        states  [n, dim]
        tables  [codes, dim] of each level
        """
        hidden = F.silu(self.project(states)).view(len(states), self.levels, states.shape[1])
        x = states.unsqueeze(1) + dropout(hidden, self.dropout, self.training)
        with torch.autocast(x.device.type, enabled=False):  # a step of bfloat16 near cosine 1 is 0.1 logits
            directions = F.normalize(x.float(), dim=2).unbind(1)
            cosines = [d @ F.normalize(table, dim=1).T for d, table in zip(directions, tables, strict=True)]
        return [(cosine / TEMPERATURE).log_softmax(dim=1) for cosine in cosines]
