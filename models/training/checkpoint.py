"""The state of a training after an epoch, as one safetensors file: a training that was killed resumes from it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from time import monotonic
from typing import Generic, Protocol, TypeVar

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from models.distributed import worker_index

FORMAT = 4  # of the file; part of the file's name, so files of another format are not read


class Checkpoint(Protocol):
    """A place that holds the state of one training."""

    @property
    def seconds(self) -> float:
        """From one write to the next, at least. To write a large model takes as long as to train a short epoch."""

    def read(self) -> bytes | None:
        """Exactly the bytes of the last `write`, or None if there is no checkpoint."""

    def write(self, content: bytes) -> None:
        """Replace the checkpoint, completely or not at all."""


@dataclass(frozen=True)
class Epoch(ABC):
    """One point of a training curve. Each model adds what it measures on its validation data, as numbers."""

    epoch: int
    train_loss: float

    @property
    @abstractmethod
    def score(self) -> float:
        """The best epoch has the highest score; NaN if it is not defined."""


E = TypeVar("E", bound=Epoch)


@dataclass
class TrainingState(Generic[E]):
    """How far a training is: its curve, the weights of the best epoch, and an average of the weights.

    average  empty if the training does not average weights
    saved    when the training began or, after that, when its state was last saved
    is_new   whether there was an epoch since then
    """

    curve: list[E] = field(default_factory=list)
    best_score: float = -torch.inf
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    saved: float = field(default_factory=monotonic)
    is_new: bool = False

    @property
    def epochs_done(self) -> int:
        return self.curve[-1].epoch if self.curve else 0

    def add(self, point: E, model: nn.Module) -> None:
        """Add an epoch to the curve, and keep its weights if it is the best so far."""
        self.curve.append(point)
        self.is_new = True
        if not point.score <= self.best_score:  # better, or not defined
            self.best_score, self.best_epoch = point.score, point.epoch
            self.best_weights = copy_weights(model)

    def add_to_average(self, model: nn.Module, weight: float) -> None:
        """Move the average towards the model's weights. weight: their share; the average before has the rest"""
        for name, value in copy_weights(model).items():
            if name in self.average and value.is_floating_point():
                value = self.average[name].to(value.device).lerp(value, weight)
            self.average[name] = value


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@contextmanager
def use_weights(model: nn.Module, weights: dict[str, Tensor]) -> Iterator[None]:
    """Give the model other weights for a while."""
    current = copy_weights(model)
    model.load_state_dict(weights)
    try:
        yield
    finally:
        model.load_state_dict(current)


def save_state(
    checkpoint: Checkpoint | None,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    state: TrainingState[E],
    *,
    is_end: bool = False,
) -> None:
    """Write everything that `resume` needs, if there is a checkpoint. Of several workers, the first one writes.

    Nothing is written if there was no epoch since the last write or, before the end, if that was a short time ago.
    """
    if checkpoint is None or worker_index() > 0 or not state.is_new:
        return
    if not is_end and monotonic() < state.saved + checkpoint.seconds:
        return
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in state.best_weights.items()}
    tensors |= {f"average.{name}": value for name, value in state.average.items()}
    tensors["curve"] = torch.tensor([astuple(epoch) for epoch in state.curve], dtype=torch.float64)
    tensors["judged"] = torch.tensor([state.best_score, state.best_epoch], dtype=torch.float64)
    for number, optimizer in enumerate(optimizers):
        for index, moments in optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"optimizer.{number}.{index}.{name}"] = torch.as_tensor(value)
    checkpoint.write(save({name: value.cpu().contiguous() for name, value in tensors.items()}))
    state.saved, state.is_new = monotonic(), False


def resume(
    checkpoint: Checkpoint | None, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], kind: type[E]
) -> TrainingState[E]:
    """Load model and optimizers from the checkpoint. If there is none, return a state without epochs.

    kind  of the points of the curve
    """
    content = None if checkpoint is None else checkpoint.read()
    if content is None:
        return TrainingState()
    tensors = load(content)
    model.load_state_dict(_select_prefix(tensors, "model."))
    for number, optimizer in enumerate(optimizers):
        moments: dict[int, dict[str, Tensor | int]] = {}
        for key, value in _select_prefix(tensors, f"optimizer.{number}.").items():
            index, _, name = key.partition(".")
            moments.setdefault(int(index), {})[name] = value if value.is_floating_point() else int(value)
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    best_score, best_epoch = tensors["judged"].tolist()
    curve = [kind(int(epoch), *values) for epoch, *values in tensors["curve"].tolist()]
    best, average = (_select_prefix(tensors, f"{name}.") for name in ("best", "average"))
    return TrainingState(curve, best_score, int(best_epoch), best, average)


def _select_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with the prefix, named without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
