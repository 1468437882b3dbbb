"""Training of the generator on histories, in one process or in workers that share every batch."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.distributed import worker_index
from models.generator.batches import Batch, Sequences, read_batch, similar_lengths, split_histories
from models.generator.epoch import Epoch
from models.generator.losses import compute_loss
from models.generator.model import Generator
from models.generator.queries import TOKENS_PER_QUERY, Queries, draw_queries
from models.generator.recommend import build_trie
from models.generator.trie import CodeTrie
from models.generator.validation import Validation
from models.precision import mixed_precision
from models.ranker.histories import Histories, Int64s
from models.training import parallel
from models.training.checkpoint import Checkpoint, resume, save_state, use_weights
from models.training.optimizers import build_optimizers

MEMORY = 0.98  # of Adam; with 0.999 the best epoch on amazon_beauty is 2 % worse on held-out events
# What is measured and kept is an average of the epochs' weights. The newest epoch counts this much, the earlier ones
# together the rest. On amazon_beauty, that is 1 to 2 % better on held-out events.
NEWEST = 0.5
Progress = Callable[[int, int], None]  # batches done, maximum number of batches


@dataclass(frozen=True)
class _Data:
    """What every epoch trains on: sequences of the histories.

    items    [items] that can be negatives
    queried  [items] that queries ask for: all that have a text, whether anybody acted on them or not
    """

    histories: Histories
    sequences: Sequences
    items: Int64s
    queried: Int64s
    trie: CodeTrie | None


def fit(
    model: Generator,
    histories: Histories,
    ends: Int64s,
    *,
    seed: int,
    epochs: int,
    tokens: int,
    negatives: int,
    lr: float,
    valid_users: int,
    patience: int,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[Epoch]:
    """Train the model in place and leave it at the epoch that predicts the validation users' next items best.

    An epoch is measured, and kept, as the average of its weights and those of the epochs before it (NEWEST).

    The model learns to predict every event before the ends from the events before it. Items that occur there become
    known to the model. The same model, histories, seed, threads and workers give the same weights. A model that was
    trained before is measured first: that is epoch 0 of the curve, which has no training loss. Without validation users
    the last epoch is kept. A step costs the same for any number of items.

    A design that reads texts also learns to find items by a part of their words or by their text vector: each batch has
    a query for every TOKENS_PER_QUERY of its tokens. The items that queries ask for are negatives, too: otherwise an
    item that nobody acted on would only ever become more likely.

    ends         [users] where training ends: later events are not trained on
    tokens       events in a batch, with padding
    negatives    items, drawn for each batch, that the head `items` compares the next items with
    valid_users  how many users, drawn from those with an event after their end, measure the epochs: by that event
    patience     training stops after this many epochs without a better one
    checkpoint   saves the state, see `save_state`; a training that was killed resumes there and ends with the same
                 weights
    returns      the training curve
    raises       ValueError if no user has two events before the end or, for the head `codes`, if two items have the
                 same codes; FloatingPointError if training diverged
    """
    sequences = split_histories(histories, ends, model.design.length)
    if not len(sequences):
        raise ValueError("no user has two events to train on")
    optimizers = build_optimizers(model, lr, memory=MEMORY)
    state = resume(checkpoint, model, optimizers, Epoch)
    trie = build_trie(model) if "codes" in model.design.heads else None
    validation = Validation.draw(histories, ends, valid_users, seed)
    if model.items.known.any() and not state.curve:  # the model it starts from may remain the best
        state.add(Epoch(0, math.nan, *validation.measure(model, trie)), model)
        state.add_to_average(model, NEWEST)
    known_items, queried = _mark_known_items(model, histories, sequences), _find_items_with_text(model)
    data = _Data(histories, sequences, known_items, queried, trie)
    with torch.random.fork_rng():
        for epoch in range(state.epochs_done + 1, epochs + 1):
            if epoch > state.best_epoch + patience and state.curve:
                break
            loss = _train_epoch(model, optimizers, data, seed, tokens, negatives, epoch, epochs, progress)
            parallel.copy_weights_of_first_worker(model)
            if not math.isfinite(loss):
                raise FloatingPointError(f"epoch {epoch} gives NaN or infinity")
            state.add_to_average(model, NEWEST)
            with use_weights(model, state.average):
                state.add(Epoch(epoch, loss, *validation.measure(model, trie)), model)
            save_state(checkpoint, model, optimizers, state)
    save_state(checkpoint, model, optimizers, state, is_end=True)
    model.load_state_dict(state.best_weights)
    model.eval()
    return state.curve


def _mark_known_items(model: Generator, histories: Histories, sequences: Sequences) -> Int64s:
    """The items [items] of the sequences, ascending. They become known to the model."""
    is_trained = np.zeros(model.n_items, bool)
    for rows in np.array_split(np.arange(len(sequences)), len(sequences) // 4096 + 1):
        batch = read_batch(histories, sequences.take(rows), following=1)
        is_trained[batch.items[batch.items >= 0]] = True
    model.items.known[:-1] |= torch.from_numpy(is_trained).to(model.device)
    return np.flatnonzero(is_trained)


def _find_items_with_text(model: Generator) -> Int64s:
    """The items [items] that a query can describe, ascending; none if the design reads no queries."""
    has_text = model.items.has_text() & model.design.reads_queries
    return np.flatnonzero(has_text.cpu().numpy())


def _train_epoch(
    model: Generator,
    optimizers: list[torch.optim.Optimizer],
    data: _Data,
    seed: int,
    tokens: int,
    negatives: int,
    epoch: int,
    epochs: int,
    progress: Progress | None,
) -> float:
    """Train on all sequences once. returns the mean loss of a batch"""
    model.train()
    device = model.device
    rng = np.random.default_rng([seed, epoch])
    dropout = np.random.default_rng([seed, epoch, 1 + worker_index()])
    torch.manual_seed(int(dropout.integers(1 << 62)))
    batches = list(similar_lengths(data.sequences, tokens, rng))
    total = torch.zeros(1, device=device)
    for number, rows in enumerate(batches):
        batch = read_batch(data.histories, data.sequences.take(rows), following=1)
        drawn = rng.choice(data.items, negatives)
        queries = None
        if len(data.queried):
            queries = draw_queries(model.items, data.queried, -(-tokens // TOKENS_PER_QUERY), rng)
            drawn = np.concatenate([drawn, queries.items.cpu().numpy()])
            queries = queries.take(parallel.take_share(np.arange(len(queries))))
        n_states = len(batch.next_items()[0])
        model.zero_grad()
        if len(share := parallel.take_share(np.arange(len(rows)))) or queries:
            compared = torch.from_numpy(np.unique(drawn)).to(device)
            loss = _compute_mean_loss(model, batch.take(share), compared, queries, data, n_states)
            torch.autograd.backward(loss)
            total += loss.detach()
        parallel.sum_gradients(model)
        for optimizer in optimizers:
            optimizer.step()
        if progress is not None:
            progress((epoch - 1) * len(batches) + number + 1, epochs * len(batches))
    return float(parallel.sum_over_workers(total.cpu().numpy(), device)[0]) / len(batches)


def _compute_mean_loss(
    model: Generator, batch: Batch, negatives: Tensor, queries: Queries | None, data: _Data, n_states: int
) -> Tensor:
    """This worker's part of the mean loss. n_states: of all workers, without queries"""
    with mixed_precision(model.device, on_cpu=True):
        return compute_loss(model, batch, negatives, data.trie, queries) / max(n_states, 1)
