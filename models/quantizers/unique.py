"""The token that tells items of one semantic ID apart: an item keeps it, whoever comes or goes.

TIGER (arXiv 2305.05065), section 3.1, appends such a token. Here it counts up within an ID and is never given twice,
so that it stays with its item for as long as the codebook lives.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def next_tokens(codes: Ints, known: Ints, tokens: Ints) -> Ints:
    """Tokens of new items, in the order that they come in.

    codes    [new, levels] semantic IDs of the new items
    known    [items, levels] of those that have a token
    tokens   [items] their tokens
    returns  [new] int64, from 0 within an ID
    """
    _, place = np.unique(np.concatenate([known, codes]), axis=0, return_inverse=True)
    bucket, fresh = place[: len(known)], place[len(known) :]
    free = np.zeros(place.max(initial=-1) + 1, np.int64)
    np.maximum.at(free, bucket, tokens + 1)
    order = np.argsort(fresh, kind="stable")
    starts = np.searchsorted(fresh[order], fresh[order])
    found = np.empty(len(codes), np.int64)
    found[order] = free[fresh[order]] + np.arange(len(codes)) - starts
    return found
