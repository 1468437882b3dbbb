"""When the live codebook is fitted anew: on a schedule, or once the items that came since no longer fit it."""

import numpy as np
from numpy.typing import NDArray

from jobs.codebooks.settings import Quantizer


def reason_to_refit(
    settings: Quantizer, age: int, since: NDArray[np.bool_], error: NDArray[np.float64], shared: NDArray[np.bool_]
) -> str:
    """Why the codebook is to be fitted anew; empty if it is not.

    age     days since it was fitted
    since   [items] whether an item came after that
    error   [items] squared rebuild error
    shared  [items] whether another item has its semantic ID
    """
    if settings.refit_days and age >= settings.refit_days:
        return f"it is {age} days old, quantizer.refit_days is {settings.refit_days}"
    if since.sum() < settings.min_new_items or since.all():
        return ""
    ratio = float(error[since].mean() / max(error[~since].mean(), np.finfo(np.float64).tiny))
    if ratio > settings.max_error_ratio:
        return (
            f"{since.sum():,} items that came since are rebuilt with {ratio:.2f} times the error of the others,"
            f" quantizer.max_error_ratio is {settings.max_error_ratio:g}"
        )
    collision = float(shared[since].mean())
    if collision > settings.max_new_collision:
        return (
            f"{collision:.1%} of {since.sum():,} items that came since share their semantic ID,"
            f" quantizer.max_new_collision is {settings.max_new_collision:.1%}"
        )
    return ""
