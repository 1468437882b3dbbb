"""When to fit the live codebook again: on a schedule, or once the items that came after its fit no longer suit it."""

from datetime import date

import numpy as np

from jobs.codebooks.ids import PublishedIDs
from jobs.codebooks.settings import Quantizer
from jobs.codebooks.store import FittedCodebook


def find_refit_reason(settings: Quantizer, ids: PublishedIDs, fitted: FittedCodebook, day: date) -> str:
    """Say why the codebook must be fitted again on this day; empty if it need not be.

    A day that runs again does not refit: its codebook is there, or later days have used the one before.
    """
    if fitted.day >= day or ids.newest_day > day:
        return ""
    age = (day - fitted.day).days
    if settings.refit_days and age >= settings.refit_days:
        return f"it is {age} days old, quantizer.refit_days is {settings.refit_days}"
    return _find_drift(settings, ids, fitted)


def _find_drift(settings: Quantizer, ids: PublishedIDs, fitted: FittedCodebook) -> str:
    """Compare the items that came after the fit with those before. Empty if they suit the codebook."""
    # The text of an item may have changed after it got its ID: its error says nothing about the codebook. If all
    # items were embedded again, they all count.
    counted = ids.is_current if ids.is_current.any() else np.ones(len(ids.is_current), bool)
    is_new = (ids.days > np.datetime64(fitted.day))[counted]
    if is_new.sum() < settings.min_new_items or is_new.all():
        return ""
    errors = ids.errors.numpy()[counted]
    ratio = float(errors[is_new].mean() / max(errors[~is_new].mean(), np.finfo(np.float64).tiny))
    if ratio > settings.max_error_ratio:
        return (
            f"{is_new.sum():,} items that came after its fit are rebuilt with {ratio:.2f} times the error of the"
            f" others, quantizer.max_error_ratio is {settings.max_error_ratio:g}"
        )
    collision = float(ids.is_shared[counted][is_new].mean())
    if collision > settings.max_new_collision:
        return (
            f"{collision:.1%} of {is_new.sum():,} items that came after its fit share their semantic ID,"
            f" quantizer.max_new_collision is {settings.max_new_collision:.1%}"
        )
    return ""
