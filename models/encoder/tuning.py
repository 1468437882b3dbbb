"""Train an encoder on item pairs, from any point of an epoch on."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from models.encoder.alignment import Losses, backward, sum_gradients
from models.encoder.batches import Ints, Partners, batches
from models.encoder.text import NotFiniteError

Progress = Callable[[int, int], None]  # steps done, steps in all
WARM_UP = 0.1  # of the steps
MAX_NORM = 1.0
SAVE_EVERY = 50  # steps


@dataclass(frozen=True)
class Plan:
    """How to train.

    items_per_batch  of all ranks together: an item's negatives come from them
    items_per_chunk  encoded at once; less memory, the same gradient
    """

    steps: int
    items_per_batch: int
    items_per_chunk: int
    lr: float
    temperature: float
    answer_weight: float
    seed: int


def tune(
    model: nn.Module,
    collate: Callable[[Ints], Any],
    pairs: Ints,
    items: int,
    plan: Plan,
    *,
    checkpoint: Path | None = None,
    anneal: Callable[[float], None] | None = None,
    progress: Progress | None = None,
) -> list[Losses]:
    """Train the model in place on pairs of items.

    With `torch.distributed` every rank calls this with the same pairs, and starts from the first one's weights. On a
    CPU the same arguments give the same weights, also if it was interrupted and goes on from its checkpoint.

    collate     item indices to what the model takes
    pairs       [pairs, 2] item indices
    checkpoint  file to keep every few steps and to go on from
    anneal      told before each step which share of the steps is done
    returns     the losses of each step done here
    raises      NotFiniteError at the first gradient that is no number
    """
    partners = Partners(pairs, items)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=plan.lr, weight_decay=0.01)
    done = _restore(checkpoint, parameters, optimizer) if checkpoint and checkpoint.exists() else 0
    for parameter in parameters if dist.is_initialized() else ():
        dist.broadcast(parameter.data, src=0)
    model.train()
    curve = []
    for step, batch in enumerate(islice(_batches(partners, plan), plan.steps)):
        if step < done:
            continue
        if anneal:
            anneal(step / plan.steps)
        for group in optimizer.param_groups:
            group["lr"] = plan.lr * _pace(step, plan.steps)
        positive = torch.from_numpy(partners.matrix(batch)).to(parameters[0].device)
        chunks = [collate(part) for part in _chunks(batch, plan.items_per_chunk)]
        curve.append(
            backward(
                model, chunks, positive, temperature=plan.temperature, answer_weight=plan.answer_weight,
                seed=plan.seed * 1_000_003 + step,
            )
        )  # fmt: skip
        sum_gradients(parameters)
        if not nn.utils.clip_grad_norm_(parameters, MAX_NORM).isfinite():
            raise NotFiniteError(f"the gradient of step {step + 1} is no number")
        optimizer.step()
        optimizer.zero_grad()
        if checkpoint and (step + 1) % SAVE_EVERY == 0 and _rank() == 0:
            _save(checkpoint, parameters, optimizer, step + 1)
        if progress:
            progress(step + 1, plan.steps)
    model.eval()
    return curve


def _batches(partners: Partners, plan: Plan) -> Iterator[Ints]:
    """Batches of one epoch after the other that all ranks can share evenly, until an epoch has none for them."""
    ranks = dist.get_world_size() if dist.is_initialized() else 1
    for epoch in count():
        shared = 0
        for batch in batches(partners, items_per_batch=plan.items_per_batch, seed=plan.seed, epoch=epoch):
            size = len(batch) // ranks * ranks
            shuffle = np.random.default_rng([plan.seed, epoch, *batch[:2]])  # the few that are left out differ
            if size > 1:
                yield np.sort(shuffle.permutation(batch)[:size])
                shared += 1
        if not shared:
            return


def _chunks(batch: Ints, size: int) -> list[Ints]:
    ranks = dist.get_world_size() if dist.is_initialized() else 1
    mine = np.split(batch, ranks)[_rank()]
    return [mine[start : start + size] for start in range(0, len(mine), size)]


def _pace(step: int, steps: int) -> float:
    """Share of the learning rate: a linear warm-up, then half a cosine."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _save(path: Path, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, step: int) -> None:
    held: dict[str, Tensor] = {}
    for number, parameter in enumerate(parameters):
        held[f"{number}.weight"] = parameter.detach().contiguous()
        held |= {f"{number}.{name}": value for name, value in optimizer.state[parameter].items()}
    part = path.with_suffix(".part")
    save_file(held, part, metadata={"step": str(step)})
    os.replace(part, path)


def _restore(path: Path, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
    """Weights and the optimiser's state as `_save` left them. returns the steps done"""
    with safe_open(path, framework="pt") as held, torch.no_grad():
        names = set(held.keys())
        for number, parameter in enumerate(parameters):
            parameter.copy_(held.get_tensor(f"{number}.weight"))
            mine = {name.split(".")[1] for name in names if name.startswith(f"{number}.")} - {"weight"}
            state = {name: held.get_tensor(f"{number}.{name}") for name in sorted(mine)}
            optimizer.state[parameter] = {
                name: value if name == "step" else value.to(parameter.device) for name, value in state.items()
            }
        return int(held.metadata()["step"])
