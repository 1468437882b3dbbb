"""Test rows as served: lists are made once, at the end of the day before, so they know nothing of the day itself."""

from dataclasses import replace
from datetime import date

import numpy as np

from jobs.ranking.dataset import Dataset


def limit_to_served(dataset: Dataset, day: date) -> Dataset:
    """The same dataset with test rows that know what was known when the lists of their day were made.

    Their histories and rates end where the day begins, and the time of the row is that moment. In a log of a single
    day, they end where the first of the last requests begins.
    """
    rows = dataset.test
    midnight = int(np.datetime64(day, "us").astype(np.int64))
    moment = midnight if dataset.split == "day" else int(rows.ts.min(initial=midnight + 86_400_000_000))
    until, ts = np.minimum(rows.until, moment), np.minimum(rows.ts, moment)
    end = dataset.histories.ends(rows.user, until)
    length = dataset.histories.lengths(rows.user, end)
    return replace(dataset, test=replace(rows, until=until, ts=ts, end=end, length=length))
