"""Train an encoder on item pairs. An interrupted training continues from its checkpoint."""

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

from models.distributed import sum_gradients, worker_count, worker_index
from models.encoder.contrastive_loss import Losses, backward
from models.encoder.embedder import NotFiniteError
from models.encoder.pair_batches import Int64s, Partners, draw_batches

Progress = Callable[[int, int], None]  # steps done, steps in all
WARM_UP = 0.1  # share of the steps
MAX_NORM = 1.0  # of the gradient
SAVE_EVERY = 50  # steps


@dataclass(frozen=True)
class Plan:
    """How to train.

    items_per_batch  of all workers together; an item's negatives come from its batch
    items_per_chunk  that are encoded at once; a smaller number needs less memory and gives the same gradient
    lr               peak learning rate
    temperature      of the contrastive loss
    answer_weight    of the next-token loss, relative to the contrastive loss
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
    collate: Callable[[Int64s], Any],
    pairs: Int64s,
    items: int,
    plan: Plan,
    *,
    checkpoint: Path | None = None,
    anneal: Callable[[float], None] | None = None,
    progress: Progress | None = None,
) -> list[Losses]:
    """Train the model in place on pairs of items.

    With `torch.distributed`, every worker calls this function with the same pairs; all start from the weights of
    worker 0. On a CPU the same arguments give the same weights, even if the training was interrupted and continued
    from its checkpoint.

    collate     turns item indices into the model's input
    pairs       [pairs, 2] item indices
    items       how many items there are
    checkpoint  file that is written every few steps, and read at the start if it exists
    anneal      called before each step with the share of the steps that is done
    returns     the losses of each step, without those before the checkpoint
    raises      NotFiniteError at the first gradient that contains NaN or infinity
    """
    partners = Partners(pairs, items)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=plan.lr, weight_decay=0.01)
    done = _restore(checkpoint, parameters, optimizer) if checkpoint and checkpoint.exists() else 0
    for parameter in parameters if dist.is_initialized() else ():
        dist.broadcast(parameter.data, src=0)
    model.train()
    curve = []
    for step, batch in enumerate(islice(_shared_batches(partners, plan), plan.steps)):
        if step < done:
            continue
        if anneal:
            anneal(step / plan.steps)
        for group in optimizer.param_groups:
            group["lr"] = plan.lr * _pace(step, plan.steps)
        positive = torch.from_numpy(partners.matrix(batch)).to(parameters[0].device)
        chunks = [collate(part) for part in _chunks(batch, plan.items_per_chunk)]
        curve.append(_add_gradient(model, chunks, positive, plan, step))
        _update_weights(parameters, optimizer, step)
        if checkpoint and (step + 1) % SAVE_EVERY == 0 and worker_index() == 0:
            _save(checkpoint, parameters, optimizer, step + 1)
        if progress:
            progress(step + 1, plan.steps)
    model.eval()
    return curve


def _add_gradient(model: nn.Module, chunks: list[Any], positive: Tensor, plan: Plan, step: int) -> Losses:
    """Add this worker's part of the gradient of a step. returns the losses of the whole batch"""
    seed = plan.seed * 1_000_003 + step
    return backward(model, chunks, positive, temperature=plan.temperature, answer_weight=plan.answer_weight, seed=seed)


def _update_weights(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, step: int) -> None:
    """Take one step along the gradients of all workers. raises NotFiniteError if these contain NaN or infinity"""
    for parameter in parameters:  # one at a time: a copy of the whole gradient may not fit into memory
        sum_gradients([parameter])
    if not nn.utils.clip_grad_norm_(parameters, MAX_NORM).isfinite():
        raise NotFiniteError(f"the gradient of step {step + 1} is not finite")
    optimizer.step()
    optimizer.zero_grad()


def _shared_batches(partners: Partners, plan: Plan) -> Iterator[Int64s]:
    """Batches that all workers can share evenly, one epoch after the other, until an epoch has no such batch."""
    workers = worker_count()
    for epoch in count():
        shared = 0
        for batch in draw_batches(partners, items_per_batch=plan.items_per_batch, seed=plan.seed, epoch=epoch):
            size = len(batch) // workers * workers
            rng = np.random.default_rng([plan.seed, epoch, *batch[:2]])  # the few items that are left out differ
            if size > 1:
                yield np.sort(rng.permutation(batch)[:size])
                shared += 1
        if not shared:
            return


def _chunks(batch: Int64s, size: int) -> list[Int64s]:
    """This worker's part of a batch, in chunks of at most `size` items."""
    part = np.split(batch, worker_count())[worker_index()]
    return [part[start : start + size] for start in range(0, len(part), size)]


def _pace(step: int, steps: int) -> float:
    """Share of the learning rate: a linear warm-up, then half a cosine."""
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _save(path: Path, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, step: int) -> None:
    tensors: dict[str, Tensor] = {}
    for number, parameter in enumerate(parameters):
        tensors[f"{number}.weight"] = parameter.detach().contiguous()
        tensors |= {f"{number}.{name}": value for name, value in optimizer.state[parameter].items()}
    unfinished = path.with_suffix(".part")
    save_file(tensors, unfinished, metadata={"step": str(step)})
    os.replace(unfinished, path)


def _restore(path: Path, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
    """Read weights and the optimizer's state as `_save` wrote them. returns the number of steps done"""
    with safe_open(path, framework="pt") as file, torch.no_grad():
        all_names = set(file.keys())
        for number, parameter in enumerate(parameters):
            parameter.copy_(file.get_tensor(f"{number}.weight"))
            names = {name.split(".")[1] for name in all_names if name.startswith(f"{number}.")} - {"weight"}
            state = {name: file.get_tensor(f"{number}.{name}") for name in sorted(names)}
            optimizer.state[parameter] = {
                name: value if name == "step" else value.to(parameter.device) for name, value in state.items()
            }
        return int(file.metadata()["step"])
