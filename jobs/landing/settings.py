"""Settings of landing and samples: how events become labels, and days become training and test rows."""

from typing import Literal

from jobs.settings.types import Count, Days, Part, Section, Share


class Logs(Section):
    """How events become labels and days become train and test."""

    label: Literal["auto", "impression", "rating", "purchase"] = "auto"
    like_from: float = 4.0  # a rating of at least this is a like
    negatives: Count = 4  # drawn for each purchase where nothing was shown
    split: Literal["auto", "day", "request"] = "auto"  # request: for logs of a single day
    test_share: Part = 0.2  # of the requests, when split by request
    train_days: Days = 30
    max_reject_share: Share = 0.5  # of the lines that are due; more stop the run
