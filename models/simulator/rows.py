"""Simulated events as arrays of numbers, before they become text."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVENTS = ("impression", "click", "purchase", "wishlist", "hover")  # ingest knows neither of the last two
IMPRESSION, CLICK, PURCHASE, UNKNOWN = 0, 1, 2, 3  # UNKNOWN: the first unknown event
FATES = ("clean", "late", "duplicate", "future", "missing_key", "unknown_event", "malformed")
CLEAN, LATE, DUPLICATE, FUTURE, MISSING_KEY, UNKNOWN_EVENT, MALFORMED = range(len(FATES))


@dataclass
class Rows:
    """Columns, each [rows]; -1: absent. Days are ordinals of dates."""

    number: NDArray[np.int32]  # of the event; unique within its landed_day
    landed_day: NDArray[np.int32]  # the day folder in which the line lies; part of the IDs of event, request and order
    day: NDArray[np.int32]  # when the event happened
    second: NDArray[np.int32]  # in the day
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    event: NDArray[np.int8]  # index into EVENTS
    value: NDArray[np.int8]  # quantity of a purchase
    request: NDArray[np.int32]
    position: NDArray[np.int8]
    order: NDArray[np.int32]
    fate: NDArray[np.int8]  # index into FATES: what ingest should make of the line

    def __len__(self) -> int:
        return len(self.number)

    def take(self, index: NDArray[Any] | slice) -> "Rows":
        return Rows(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def concatenate(parts: list[Rows]) -> Rows:
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Rows)}
    return Rows(**{name: np.concatenate(arrays) for name, arrays in columns.items()})
