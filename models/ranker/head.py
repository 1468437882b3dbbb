"""From the features of a row to one logit for each task."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ranker.design import Heads


class MultiGateExperts(nn.Module):
    """Multi-gate mixture of experts (MMoE, Ma et al., KDD 2018): tasks share experts, each has its gate and tower.

    width    features of a row
    tasks    logits of a row
    experts  number of experts that the tasks share
    """

    def __init__(self, *, width: int, tasks: int, experts: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.tasks, self.experts = tasks, experts
        self.expert = nn.Sequential(nn.Linear(width, experts * hidden), nn.ReLU(), nn.Dropout(dropout))
        self.gate = nn.Linear(width, tasks * experts)
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, hidden // 2), nn.ReLU(), nn.Linear(hidden // 2, 1)) for _ in range(tasks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits [batch, tasks] of x [batch, width]."""
        expert_outputs = self.expert(x).view(len(x), self.experts, -1)  # [batch, experts, hidden]
        gates = self.gate(x).view(len(x), self.tasks, self.experts).softmax(dim=2)
        mixed = torch.einsum("bte,beh->bth", gates, expert_outputs)
        return torch.cat([tower(mixed[:, task]) for task, tower in enumerate(self.towers)], dim=1)

    @torch.no_grad()
    def init_biases(self, shares: Tensor) -> None:
        """Let a new model predict the mean: each task's share of positive rows [tasks], in (0, 1)."""
        for tower, share in zip(self.towers, shares, strict=True):
            *_, last = tower.children()
            assert isinstance(last, nn.Linear)
            last.bias.fill_(share.logit())

    @torch.no_grad()
    def transform_logits(self, scales: Tensor, shifts: Tensor) -> None:
        """Let the logit of each task become scale * logit + shift [tasks]."""
        for tower, scale, shift in zip(self.towers, scales, shifts, strict=True):
            *_, last = tower.children()
            assert isinstance(last, nn.Linear)
            last.weight.mul_(scale)
            last.bias.mul_(scale).add_(shift)


class SeparateHeads(nn.Module):
    """One network for each task; the tasks share nothing."""

    def __init__(self, *, width: int, tasks: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.own = nn.ModuleList(  # saved weights carry this name: it cannot change
            MultiGateExperts(width=width, tasks=1, experts=1, hidden=hidden, dropout=dropout) for _ in range(tasks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits [batch, tasks] of x [batch, width]."""
        return torch.cat([network(x) for network in self.own], dim=1)

    def init_biases(self, shares: Tensor) -> None:
        """See `MultiGateExperts.init_biases`."""
        for network, share in zip(self.own, shares, strict=True):
            assert isinstance(network, MultiGateExperts)
            network.init_biases(share[None])

    def transform_logits(self, scales: Tensor, shifts: Tensor) -> None:
        """See `MultiGateExperts.transform_logits`."""
        for network, scale, shift in zip(self.own, scales, shifts, strict=True):
            assert isinstance(network, MultiGateExperts)
            network.transform_logits(scale[None], shift[None])


class EntireSpace(nn.Module):
    """Purchases follow clicks: P(purchase) = P(click) x P(purchase given a click).

    The second factor is known for clicked rows only, yet all rows train it (ESMM, Ma et al., SIGIR 2018).
    """

    def __init__(self, inner: MultiGateExperts, click: int, purchase: int) -> None:
        super().__init__()
        self.inner, self.click, self.purchase = inner, click, purchase

    def forward(self, x: Tensor) -> Tensor:
        """Logits [batch, tasks] of x [batch, width]."""
        logits: Tensor = self.inner(x)
        log_purchase = F.logsigmoid(logits[:, self.click]) + F.logsigmoid(logits[:, self.purchase])
        purchase_logit = log_purchase - torch.log(-torch.expm1(log_purchase.clamp(max=-1e-7)))
        columns = list(logits.unbind(dim=1))
        columns[self.purchase] = purchase_logit
        return torch.stack(columns, dim=1)

    def init_biases(self, shares: Tensor) -> None:
        """See `MultiGateExperts.init_biases`."""
        shares = shares.clone()
        shares[self.purchase] = (shares[self.purchase] / shares[self.click]).clamp(max=0.99)  # purchases per click
        self.inner.init_biases(shares)


Head = MultiGateExperts | SeparateHeads | EntireSpace


def build_head(kind: Heads, width: int, tasks: tuple[str, ...], experts: int, hidden: int, dropout: float) -> Head:
    """The module that turns features [batch, width] into logits [batch, tasks].

    raises  ValueError if `entire_space` lacks the task click or purchase
    """
    if kind == "single":
        return SeparateHeads(width=width, tasks=len(tasks), hidden=hidden, dropout=dropout)
    shared = MultiGateExperts(width=width, tasks=len(tasks), experts=experts, hidden=hidden, dropout=dropout)
    if kind == "experts":
        return shared
    if not {"click", "purchase"} <= set(tasks):
        raise ValueError(f"a purchase after a click needs both as tasks, not {list(tasks)}")
    return EntireSpace(shared, tasks.index("click"), tasks.index("purchase"))
