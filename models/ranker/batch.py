"""Rows of samples as tensors, split into parts so that few columns are padding."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.ranker.histories import Int64s
from models.ranker.samples import Samples
from models.ranker.search_result import PADDING

MAX_PARTS, MIN_ROWS_PER_PART = 4, 64


class Part(NamedTuple):
    """Some rows of a batch and, for each list of events, the columns that hold events in these rows."""

    rows: slice
    columns: tuple[slice, ...]


@dataclass(frozen=True)
class Batch:
    """Rows to score, as tensors on the model's device.

    target          [batch] int64, item index
    topk            [batch, k] int64, item indices of the events that were found, PADDING where there are fewer; the
                    lists of events one after another
    sims            [batch, k] float32 in [-1, 1], similarity of each event to the target
    history_length  [batch] float32, number of events in the whole history
    parts           the rows and columns that hold events: the model reads nothing else
    seconds         [batch, k] float32, seconds from each event to the row, for the extra `time`
    kinds           [batch, k] int64, type of each event, for the extra `event`
    events_after    [batch, k] float32, number of the user's events after it, for the extra `position`
    rates           [batch, RATES] float32, for the extra `rates`
    similar_rates   [batch, SIMILAR_RATES] float32, for the extra `similar_rates`
    """

    target: Tensor
    topk: Tensor
    sims: Tensor
    history_length: Tensor
    parts: tuple[Part, ...]
    seconds: Tensor | None = None
    kinds: Tensor | None = None
    events_after: Tensor | None = None
    rates: Tensor | None = None
    similar_rates: Tensor | None = None


def single_part(rows: int, ks: tuple[int, ...]) -> tuple[Part, ...]:
    """All rows and columns as one part. ks: number of columns of each list"""
    bounds = pairwise((0, *np.cumsum(ks).tolist()))
    return (Part(slice(0, rows), tuple(slice(start, stop) for start, stop in bounds)),)


def build_batch(data: Samples, rows: Int64s, ks: tuple[int, ...], device: torch.device) -> tuple[Batch, Int64s]:
    """The given rows as tensors, rows with few events first.

    ks       number of columns of each list of events
    returns  the batch, and the order [rows] of its rows
    raises   ValueError if the rows have another number of columns
    """
    if data.topk.shape[1] != sum(ks):
        raise ValueError(f"rows have {data.topk.shape[1]} events, but the design reads {sum(ks)}")
    columns = single_part(0, ks)[0].columns
    widths = np.stack([_count_used_columns(data.topk[rows, column] != PADDING) for column in columns], axis=1)
    order = np.argsort(widths.sum(axis=1), kind="stable")
    rows, parts = rows[order], _split_into_parts(widths[order], ks)

    def tensor(values: NDArray[np.generic], dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(values[rows], dtype=dtype, device=device)

    def optional_tensor(values: NDArray[np.generic] | None, dtype: torch.dtype = torch.float32) -> Tensor | None:
        return None if values is None else tensor(values, dtype)

    tensors: dict[str, Any] = {
        "target": tensor(data.target, torch.int64),
        "topk": tensor(data.topk, torch.int64),
        "sims": tensor(data.sims, torch.float32),
        "history_length": tensor(data.history_length, torch.float32),
        "seconds": optional_tensor(data.seconds),
        "kinds": optional_tensor(data.kinds, torch.int64),
        "events_after": optional_tensor(data.events_after),
        "rates": optional_tensor(data.rates),
        "similar_rates": optional_tensor(data.similar_rates),
    }
    return Batch(parts=parts, **tensors), order


def _count_used_columns(is_event: NDArray[np.bool_]) -> Int64s:
    """The number of leading columns [rows] that hold all events of a row; padding may lie between events."""
    count: Int64s = (is_event * np.arange(1, is_event.shape[1] + 1)).max(axis=1, initial=0)
    return count


def _split_into_parts(widths: NDArray[np.integer], ks: tuple[int, ...]) -> tuple[Part, ...]:
    """Split the rows so that each part has few columns of padding.

    widths  [rows, lists] number of columns in use, rows with few first
    """
    count = max(1, min(MAX_PARTS, len(widths) // MIN_ROWS_PER_PART))
    parts: list[Part] = []
    starts = [column.start for column in single_part(0, ks)[0].columns]
    for start, stop in pairwise(np.linspace(0, len(widths), count + 1).astype(int).tolist()):
        widest = widths[start:stop].max(axis=0, initial=0).tolist()
        columns = tuple(slice(first, first + width) for first, width in zip(starts, widest, strict=True))
        if parts and parts[-1].columns == columns:
            start = parts.pop().rows.start
        parts.append(Part(slice(start, stop), columns))
    return tuple(parts)
