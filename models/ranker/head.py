"""What decides, once the history is one vector: experts shared by all tasks, one gate and tower per task."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ranker.design import Heads


class MultiGateExperts(nn.Module):
    """Multi-gate mixture of experts (MMoE, Ma et al., KDD 2018).

    width    numbers per row
    tasks    logits per row
    experts  shared by the tasks
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
        opinions = self.expert(x).view(len(x), self.experts, -1)  # [batch, experts, hidden]
        gates = self.gate(x).view(len(x), self.tasks, self.experts).softmax(dim=2)
        mixed = torch.einsum("bte,beh->bth", gates, opinions)
        return torch.cat([tower(mixed[:, task]) for task, tower in enumerate(self.towers)], dim=1)

    @torch.no_grad()
    def start_at(self, shares: Tensor) -> None:
        """Let every task begin at its share of positive rows [tasks], in (0, 1): nothing else is known yet."""
        for tower, share in zip(self.towers, shares, strict=True):
            *_, last = tower.children()
            assert isinstance(last, nn.Linear)
            last.bias.fill_(share.logit())


class Separate(nn.Module):
    """One network for each task, nothing shared."""

    def __init__(self, *, width: int, tasks: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.own = nn.ModuleList(
            MultiGateExperts(width=width, tasks=1, experts=1, hidden=hidden, dropout=dropout) for _ in range(tasks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits [batch, tasks] of x [batch, width]."""
        return torch.cat([network(x) for network in self.own], dim=1)

    def start_at(self, shares: Tensor) -> None:
        """See `MultiGateExperts.start_at`."""
        for network, share in zip(self.own, shares, strict=True):
            assert isinstance(network, MultiGateExperts)
            network.start_at(share[None])


class EntireSpace(nn.Module):
    """A purchase comes after a click: its probability is that of the click times that of buying what was clicked.

    So the second factor, known for clicked rows alone, is learned from all rows (ESMM, Ma et al., SIGIR 2018).
    """

    def __init__(self, inner: MultiGateExperts, click: int, purchase: int) -> None:
        super().__init__()
        self.inner, self.click, self.purchase = inner, click, purchase

    def forward(self, x: Tensor) -> Tensor:
        """Logits [batch, tasks] of x [batch, width]."""
        logits: Tensor = self.inner(x)
        both = F.logsigmoid(logits[:, self.click]) + F.logsigmoid(logits[:, self.purchase])
        bought = both - torch.log(-torch.expm1(both.clamp(max=-1e-7)))
        columns = list(logits.unbind(dim=1))
        columns[self.purchase] = bought
        return torch.stack(columns, dim=1)

    def start_at(self, shares: Tensor) -> None:
        """See `MultiGateExperts.start_at`."""
        shares = shares.clone()
        shares[self.purchase] = (shares[self.purchase] / shares[self.click]).clamp(max=0.99)  # of what was clicked
        self.inner.start_at(shares)


Head = MultiGateExperts | Separate | EntireSpace


def heads(kind: Heads, width: int, tasks: tuple[str, ...], experts: int, hidden: int, dropout: float) -> Head:
    """What turns features [batch, width] into logits [batch, tasks]."""
    if kind == "single":
        return Separate(width=width, tasks=len(tasks), hidden=hidden, dropout=dropout)
    shared = MultiGateExperts(width=width, tasks=len(tasks), experts=experts, hidden=hidden, dropout=dropout)
    if kind == "experts":
        return shared
    if not {"click", "purchase"} <= set(tasks):
        raise ValueError(f"a purchase after a click needs both as tasks, not {list(tasks)}")
    return EntireSpace(shared, tasks.index("click"), tasks.index("purchase"))
