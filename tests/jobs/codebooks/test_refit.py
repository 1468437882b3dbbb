"""When the live codebook is fitted again."""

from datetime import timedelta

import numpy as np
import torch

from jobs.codebooks.ids import PublishedIDs
from jobs.codebooks.refit import find_refit_reason
from jobs.codebooks.settings import Quantizer
from jobs.codebooks.store import FittedCodebook
from tests.jobs.lake_rows import DAY

FITTED, NEXT_DAY = FittedCodebook(DAY, "book", "encoder"), DAY + timedelta(1)
DAYS = np.repeat(np.array([DAY, NEXT_DAY], "datetime64[D]"), (200, 60))
CURRENT, NOT_SHARED = np.ones(260, bool), np.zeros(260, bool)


def make_errors() -> torch.Tensor:
    """Rebuild errors [260]: 1.0 for the items of the fit, 2.0 for the new ones."""
    return torch.cat([torch.full((200,), 1.0), torch.full((60,), 2.0)]).double()


def test_items_whose_text_changed_do_not_hide_that_new_ones_do_not_fit() -> None:
    errors, is_current = make_errors(), np.arange(260) >= 40
    errors[:40] = 9.0  # their IDs were given for other texts
    ids = PublishedIDs(torch.zeros(260, 3), DAYS, is_current, errors, NOT_SHARED, NEXT_DAY)
    strict = Quantizer(min_new_items=50)
    assert "2.00 times the error" in find_refit_reason(strict, ids, FITTED, NEXT_DAY)
    assert not find_refit_reason(strict, ids._replace(is_current=CURRENT), FITTED, NEXT_DAY)
    rerun = ids._replace(newest_day=DAY + timedelta(2))
    assert not find_refit_reason(strict, rerun, FITTED, NEXT_DAY)


def test_a_codebook_is_fitted_on_its_day_and_by_drift_also_after_everything_was_embedded_again() -> None:
    ids = PublishedIDs(torch.zeros(260, 3), DAYS, ~CURRENT, make_errors(), NOT_SHARED, NEXT_DAY)
    assert "2.00 times the error" in find_refit_reason(Quantizer(min_new_items=50), ids, FITTED, NEXT_DAY)
    assert "refit_days" in find_refit_reason(Quantizer(refit_days=1), ids, FITTED, NEXT_DAY)
