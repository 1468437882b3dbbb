"""Event lines as numbers: the columns of a day, before they become text."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVENTS = ("impression", "click", "purchase", "wishlist", "hover")  # the last two are not in the contract
IMPRESSION, CLICK, PURCHASE, UNKNOWN = 0, 1, 2, 3
FATES = ("clean", "late", "duplicate", "future", "missing_key", "unknown_event", "malformed")
CLEAN, LATE, DUPLICATE, FUTURE, MISSING_KEY, UNKNOWN_EVENT, MALFORMED = range(len(FATES))


@dataclass
class Rows:
    """Columns [rows]; -1 means absent. `made` and `day` are ordinals of dates, `second` is in the day."""

    number: NDArray[np.int32]  # event, unique within `made`
    made: NDArray[np.int32]  # the day that the line landed, part of its identifiers
    day: NDArray[np.int32]
    second: NDArray[np.int32]
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    event: NDArray[np.int8]
    value: NDArray[np.int8]
    request: NDArray[np.int32]
    position: NDArray[np.int8]
    order: NDArray[np.int32]
    fate: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.number)

    def take(self, index: NDArray[Any] | slice) -> "Rows":
        return Rows(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def concatenate(parts: list[Rows]) -> Rows:
    return Rows(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Rows)})
