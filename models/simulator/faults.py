"""The few bad lines that every real log has, planted on purpose among the good ones."""

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

SHARES = {DUPLICATE: 0.3, FUTURE: 0.1, MISSING_KEY: 0.1, UNKNOWN_EVENT: 0.1, MALFORMED: 0.1}  # of all faults
LATE_SHARE = 0.3  # the other faults: late rows, which `simulate_visits` makes


def plant_faults(rng: np.random.Generator, rows: Rows, share: float) -> Rows:
    """Mix bad rows in at random places: about `share` of the rows, and at least one of each kind if share > 0.

    Every bad row is a spoiled copy of a good row under a new event number (a duplicate keeps the number), so that no
    good row is lost.
    """
    if not share or not len(rows):
        return rows
    parts = [rows]
    next_number = len(rows)
    for fate, fault_share in SHARES.items():
        copies = rows.take(rng.integers(0, len(rows), max(1, round(share * fault_share * len(rows)))))
        copies.fate = np.full(len(copies), fate, np.int8)
        if fate != DUPLICATE:
            copies.number = np.arange(next_number, next_number + len(copies), dtype=np.int32)
            next_number += len(copies)
        _spoil(rng, copies, fate)
        parts.append(copies)
    bad_rows = sum(len(part) for part in parts[1:])
    place = np.concatenate([np.arange(len(rows), dtype=np.float64), rng.random(bad_rows) * len(rows)])
    return concatenate(parts).take(np.argsort(place, kind="stable"))


def _spoil(rng: np.random.Generator, rows: Rows, fate: int) -> None:
    if fate == FUTURE:
        rows.day = rows.landed_day + rng.integers(2, 400, len(rows), dtype=np.int32)
    elif fate == UNKNOWN_EVENT:
        rows.event = (UNKNOWN + rng.integers(0, 2, len(rows))).astype(np.int8)
    elif fate == MISSING_KEY:
        missing = rng.integers(0, 3, len(rows))
        rows.item = np.where(missing == 0, np.int32(-1), rows.item)
        rows.event = np.where(missing == 1, np.int8(-1), rows.event)
        rows.second = np.where(missing == 2, np.int32(-1), rows.second)
