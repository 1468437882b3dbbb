"""Histories as batches of sequences of similar length.

A sequence is filled up to the longest of its batch. Sorted by length, that is little: tests allow 5 % of a batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.generator.seen import go_back
from models.ranker.histories import Histories, Int64s, Ints
from models.token_batches import token_batches

PADDING = -1
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Sequences:
    """Parts of histories. Sequence s reads the events [starts[s], stops[s]).

    limits    [sequences] int64: no event at or after it is known, not even to predict it
    is_first  [sequences] whether nothing happened before the sequence: then its first event is predicted, too
    """

    starts: Int64s
    stops: Int64s
    limits: Int64s
    is_first: Bools

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: Int64s) -> Self:
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


def split_histories(histories: Histories, ends: Int64s, length: int) -> Sequences:
    """Sequences of at most `length` events in which every event that has a next event occurs exactly once.

    A long history is split from its end, so its latest sequence is a full one.

    ends  [users] where the known history of each user ends
    """
    begins = histories.offsets[:-1]
    counts = np.maximum(ends - begins - 1, 0)  # the last event has no next one
    parts = -(-counts // length)
    users = np.repeat(np.arange(len(begins)), parts)
    number = np.arange(len(users)) - np.repeat(np.cumsum(parts) - parts, parts)
    stops = ends[users] - 1 - number * length
    starts = np.maximum(stops - length, begins[users])
    return Sequences(starts, stops, ends[users], starts == begins[users])


def cut_histories(histories: Histories, since: int) -> tuple[Histories, Int64s]:
    """The histories without the events before a moment, and without times. Costs what they hold, not what is cut off.

    since    microseconds since 1970
    returns  the histories, and how far the events of each user [users] moved: position p became p - moved
    """
    begins = histories.ends(np.arange(len(histories.offsets) - 1), np.full(len(histories.offsets) - 1, since))
    counts = histories.offsets[1:] - begins
    offsets = np.concatenate([[0], np.cumsum(counts)])
    moved = begins - offsets[:-1]
    of_event = np.repeat(moved, counts)
    events = np.arange(len(of_event)) + of_event
    hidden_by = None
    if histories.hidden_by is not None:
        hidden_by = histories.hidden_by[events]
        hidden_by = np.where(hidden_by == len(histories.items), len(events), hidden_by - of_event)
    return Histories(offsets, histories.items[events], histories.ts[:0], hidden_by=hidden_by), moved


def latest_events(histories: Histories, users: Ints, ends: Int64s, length: int) -> Sequences:
    """One sequence for each user, of the latest `length` events before each end [users]."""
    starts = go_back(histories, users, ends, ends, length)
    return Sequences(starts, ends, ends, starts == histories.offsets[users])


@dataclass(frozen=True)
class Batch:
    """Sequences as arrays.

    items     [sequences, columns] int64, the events of each sequence and some events after it, then PADDING
    counts    [sequences] int64, how many events belong to the sequence
    is_first  [sequences] see `Sequences`
    """

    items: Int64s
    counts: Int64s
    is_first: Bools

    @property
    def inputs(self) -> Int64s:
        """The events of the sequences [sequences, longest], PADDING after them."""
        width = int(self.counts.max(initial=0))
        return np.where(np.arange(width) < self.counts[:, None], self.items[:, :width], PADDING)

    def next_items(self) -> tuple[Int64s, Int64s, Int64s]:
        """The row and column of each state, and the item [states] that follows it. Column c: the state after c events.

        A state that no event follows is left out.
        """
        following = self.items[:, : int(self.counts.max(initial=0)) + 1]
        columns = np.arange(following.shape[1])
        is_state = (following != PADDING) & (columns <= self.counts[:, None])
        is_state[:, :1] &= self.is_first[:, None]
        rows, columns = is_state.nonzero()
        return rows, columns, following[rows, columns]

    def take(self, rows: Int64s) -> "Batch":
        return Batch(self.items[rows], self.counts[rows], self.is_first[rows])


def read_batch(histories: Histories, sequences: Sequences, following: int) -> Batch:
    """The events of sequences and `following` events after them. Events that were taken back are left out."""
    width = int((sequences.stops - sequences.starts).max(initial=0)) + following
    events = sequences.starts[:, None] + np.arange(width)
    is_event = events < np.minimum(sequences.stops + following, sequences.limits)[:, None]
    events = np.where(is_event, events, 0)
    if histories.hidden_by is not None and len(histories.items):
        is_event &= ~histories.is_hidden(events, sequences.limits[:, None])
        order = np.argsort(~is_event, axis=1, kind="stable")  # the events that are left move together
        events, is_event = np.take_along_axis(events, order, axis=1), np.take_along_axis(is_event, order, axis=1)
    counts = (is_event & (events < sequences.stops[:, None])).sum(axis=1)
    items = np.full(events.shape, PADDING, np.int64)
    items[is_event] = histories.items[events[is_event]]
    return Batch(items, counts, sequences.is_first)


def similar_lengths(sequences: Sequences, tokens: int, rng: np.random.Generator | None = None) -> Iterator[Int64s]:
    """Batches of sequences [batch] of similar length, at most `tokens` events with padding.

    rng  puts sequences of equal length, and then the batches, in a random order; without it the longest come first
    """
    lengths = sequences.stops - sequences.starts
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    batches = [order[places] for places in token_batches(lengths[order].tolist(), tokens)]
    for number in range(len(batches)) if rng is None else rng.permutation(len(batches)):
        yield batches[number]
