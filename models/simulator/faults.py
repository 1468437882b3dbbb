"""The few lines that real logs have and nobody wants, planted on purpose beside the good ones."""

import numpy as np

from models.simulator.rows import (
    DUPLICATE,
    FUTURE,
    MALFORMED,
    MISSING_KEY,
    UNKNOWN,
    UNKNOWN_EVENT,
    Rows,
    concatenate,
)

SHARES = {
    DUPLICATE: 0.3,
    FUTURE: 0.1,
    MISSING_KEY: 0.1,
    UNKNOWN_EVENT: 0.1,
    MALFORMED: 0.1,
}  # late ones: the other 0.3
LATE_SHARE = 0.3


def plant(rng: np.random.Generator, rows: Rows, share: float) -> Rows:
    """Rows with extra bad ones mixed in at random places, at least one of each kind if share > 0.

    Every bad row is a spoiled copy of a good one under a new event number (a duplicate keeps the number),
    so that nothing good is lost.
    """
    if not share or not len(rows):
        return rows
    parts = [rows]
    number = len(rows)
    for fate, part in SHARES.items():
        copies = rows.take(rng.integers(0, len(rows), max(1, round(share * part * len(rows)))))
        copies.fate = np.full(len(copies), fate, np.int8)
        if fate != DUPLICATE:
            copies.number = np.arange(number, number + len(copies), dtype=np.int32)
            number += len(copies)
        _spoil(rng, copies, fate)
        parts.append(copies)
    bad = sum(len(part) for part in parts[1:])
    place = np.concatenate([np.arange(len(rows), dtype=np.float64), rng.random(bad) * len(rows)])
    return concatenate(parts).take(np.argsort(place, kind="stable"))


def _spoil(rng: np.random.Generator, rows: Rows, fate: int) -> None:
    if fate == FUTURE:
        rows.day = rows.made + rng.integers(2, 400, len(rows), dtype=np.int32)
    elif fate == UNKNOWN_EVENT:
        rows.event = (UNKNOWN + rng.integers(0, 2, len(rows))).astype(np.int8)
    elif fate == MISSING_KEY:
        kind = rng.integers(0, 3, len(rows))
        rows.item = np.where(kind == 0, np.int32(-1), rows.item)
        rows.event = np.where(kind == 1, np.int8(-1), rows.event)
        rows.second = np.where(kind == 2, np.int32(-1), rows.second)
