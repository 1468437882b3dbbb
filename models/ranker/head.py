"""What decides, once the history is one vector: experts shared by all tasks, one gate and tower per task."""

import torch
from torch import Tensor, nn


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
