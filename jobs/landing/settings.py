"""Settings of the landing stage: how events become labels, and which samples are for training and for testing."""

from typing import Literal

from jobs.settings.types import Count, Days, Part, Section, Share


class Logs(Section):
    """How events become labels, and which samples are for training and for testing."""

    # Which events become training samples. impression: what was shown; clicks and purchases are the labels.
    # rating: what was rated. purchase: what was bought, and items drawn as negatives. auto: the first of these three
    # events that the log holds up to the day.
    label: Literal["auto", "impression", "rating", "purchase"] = "auto"
    like_from: float = 4.0  # lowest rating that counts as a like
    negatives: Count = 4  # items drawn as negatives for each purchase; only used if purchases are the label
    # How test rows are separated from training rows. day: test on the day of the run, train on the days before it.
    # request: test on the latest requests, train on the earlier ones. auto: request if the log holds a single day,
    # otherwise day.
    split: Literal["auto", "day", "request"] = "auto"
    test_share: Part = 0.2  # share of the requests to test on; only used if the split is by request
    train_days: Days = 30  # number of days before the day of the run to train on
    max_reject_share: Share = 0.5  # ingest stops if more than this share of a day's event or item lines is rejected
