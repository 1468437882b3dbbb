"""Rows of samples as tensors, parted so that little of them is padding."""

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

PARTS, ROWS_PER_PART = 4, 64  # at most so many; at least so many


class Part(NamedTuple):
    """Rows of a batch, and for each list of events the columns beyond which they have none."""

    rows: slice
    columns: tuple[slice, ...]


@dataclass(frozen=True)
class Batch:
    """Rows to score, as tensors on the model's device.

    target          [batch] int64, item index
    topk            [batch, k] int64, item indices of the events found, PADDING where there are fewer; one list of
                    events after another
    sims            [batch, k] float32 in [-1, 1], similarity of each event to the target
    history_length  [batch] float32, events in the whole history
    parts           which of all this holds events, so that the rest need not be looked at
    seconds         [batch, k] float32 between each event and the row's moment, for the extra `time`
    kinds           [batch, k] int64, the event's type, for the extra `event`
    after           [batch, k] float32, events of the user that came after it, for the extra `position`
    rates           [batch, RATES] float32, for the extra `rates`
    """

    target: Tensor
    topk: Tensor
    sims: Tensor
    history_length: Tensor
    parts: tuple[Part, ...]
    seconds: Tensor | None = None
    kinds: Tensor | None = None
    after: Tensor | None = None
    rates: Tensor | None = None


def whole(rows: int, ks: tuple[int, ...]) -> tuple[Part, ...]:
    """All rows and columns as one part; ks: of each list."""
    return (Part(slice(0, rows), tuple(slice(*one) for one in pairwise((0, *np.cumsum(ks).tolist())))),)


def batch_of(data: Samples, rows: Int64s, ks: tuple[int, ...], device: torch.device) -> tuple[Batch, Int64s]:
    """Those rows as tensors, with few events first.

    ks       of each list of events
    returns  the batch, and the order [rows] in which it has them
    raises   ValueError if the rows hold other numbers of events
    """
    if data.topk.shape[1] != sum(ks):
        raise ValueError(f"rows have {data.topk.shape[1]} events, the design looks at {sum(ks)}")
    columns = whole(0, ks)[0].columns
    found = np.stack([_last(data.topk[rows, one] != PADDING) for one in columns], axis=1)
    order = np.argsort(found.sum(axis=1), kind="stable")
    rows, parts = rows[order], _parts(found[order], ks)

    def tensor(values: NDArray[np.generic], dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(values[rows], dtype=dtype, device=device)

    def maybe(values: NDArray[np.generic] | None, dtype: torch.dtype = torch.float32) -> Tensor | None:
        return None if values is None else tensor(values, dtype)

    told: dict[str, Any] = {
        "target": tensor(data.target, torch.int64),
        "topk": tensor(data.topk, torch.int64),
        "sims": tensor(data.sims, torch.float32),
        "history_length": tensor(data.history_length, torch.float32),
        "seconds": maybe(data.seconds),
        "kinds": maybe(data.kinds, torch.int64),
        "after": maybe(data.after),
        "rates": maybe(data.rates),
    }
    return Batch(parts=parts, **told), order


def _last(events: NDArray[np.bool_]) -> Int64s:
    """How many first columns [rows] hold all events; padding may stand between them."""
    last: Int64s = (events * np.arange(1, events.shape[1] + 1)).max(axis=1, initial=0)
    return last


def _parts(found: NDArray[np.integer], ks: tuple[int, ...]) -> tuple[Part, ...]:
    """Rows cut so that each part reads few columns of padding.

    found  [rows, lists] columns that hold events, rows with few first
    """
    count = max(1, min(PARTS, len(found) // ROWS_PER_PART))
    parts: list[Part] = []
    starts = [one.start for one in whole(0, ks)[0].columns]
    for start, stop in pairwise(np.linspace(0, len(found), count + 1).astype(int).tolist()):
        widest = found[start:stop].max(axis=0, initial=0).tolist()
        columns = tuple(slice(at, at + width) for at, width in zip(starts, widest, strict=True))
        if parts and parts[-1].columns == columns:
            start = parts.pop().rows.start
        parts.append(Part(slice(start, stop), columns))
    return tuple(parts)
