"""The twin number that tells the items of one semantic ID apart. An item keeps its number whoever comes or goes.

TIGER (arXiv 2305.05065), section 3.1, appends such a number to the ID. Our numbers count up within an ID and are never
given twice, so that an item's number stays the same as long as the codebook lives.
"""

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


def number_twins(codes: Int64s, known_codes: Int64s, known_twins: Int64s) -> Int64s:
    """Give new items their twin numbers, in the order that they come in.

    codes        [new, levels] semantic IDs of the new items
    known_codes  [known, levels] semantic IDs of the items that have a number
    known_twins  [known] their numbers
    returns      [new] int64, from 0 within an ID
    """
    _, bucket = np.unique(np.concatenate([known_codes, codes]), axis=0, return_inverse=True)
    known_bucket, new_bucket = bucket[: len(known_codes)], bucket[len(known_codes) :]
    next_free = np.zeros(bucket.max(initial=-1) + 1, np.int64)
    np.maximum.at(next_free, known_bucket, known_twins + 1)
    order = np.argsort(new_bucket, kind="stable")
    starts = np.searchsorted(new_bucket[order], new_bucket[order])  # the place in `order` where each bucket starts
    twins = np.empty(len(codes), np.int64)
    twins[order] = next_free[new_bucket[order]] + np.arange(len(codes)) - starts
    return twins
