"""What an epoch of training leaves, as one safetensors file: a training that was killed goes on from it."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Protocol

import torch
from safetensors.torch import load, save
from torch import Tensor

from models.ranker.model import Ranker

FORMAT = 3  # of what is kept: another one is not read


class Keeper(Protocol):
    """Where a checkpoint lies."""

    def read(self) -> bytes | None:
        """What was written, to the last bit. None: there is none."""

    def write(self, content: bytes) -> None:
        """In place of the one before, all or nothing."""


@dataclass(frozen=True)
class Epoch:
    """One point of the training curve; validation values are means over the tasks that have them, or NaN."""

    epoch: int
    train_loss: float
    valid_loss: float
    valid_auc: float
    valid_gauc: float

    @property
    def worth(self) -> float:
        """What the best epoch has most of: GAUC, or AUC where no user has both classes, less log loss.

        By GAUC alone noise keeps epochs whose probabilities are still far off (bench/README.md, rank).
        """
        return (self.valid_auc if math.isnan(self.valid_gauc) else self.valid_gauc) - self.valid_loss


@dataclass
class Course:
    """How far training has come: its curve, and the weights of the best epoch."""

    curve: list[Epoch] = field(default_factory=list)
    best: float = -torch.inf
    best_epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """How many epochs were trained."""
        return self.curve[-1].epoch if self.curve else 0


def keep(keeper: Keeper, model: Ranker, optimizers: Sequence[torch.optim.Optimizer], course: Course) -> None:
    """Write all that `go_on` needs."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in course.weights.items()}
    tensors["curve"] = torch.tensor([astuple(epoch) for epoch in course.curve], dtype=torch.float64)
    tensors["judged"] = torch.tensor([course.best, course.best_epoch], dtype=torch.float64)
    for number, optimizer in enumerate(optimizers):
        for at, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{at}.{name}": torch.as_tensor(value) for name, value in state.items()}
    keeper.write(save({name: value.cpu().contiguous() for name, value in tensors.items()}))


def go_on(keeper: Keeper, model: Ranker, optimizers: Sequence[torch.optim.Optimizer]) -> Course:
    """Put model and optimizers where the checkpoint left them; a course without epochs if there is none."""
    content = keeper.read()
    if content is None:
        return Course()
    tensors = load(content)
    model.load_state_dict(_below(tensors, "model."))
    for number, optimizer in enumerate(optimizers):
        states: dict[int, dict[str, Tensor | int]] = {}
        for key, value in _below(tensors, f"optimizer.{number}.").items():
            at, _, name = key.partition(".")
            states.setdefault(int(at), {})[name] = value if value.is_floating_point() else int(value)
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    best, best_epoch = tensors["judged"].tolist()
    curve = [Epoch(int(epoch), *values) for epoch, *values in tensors["curve"].tolist()]
    return Course(curve, best, int(best_epoch), _below(tensors, "best."))


def _below(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
