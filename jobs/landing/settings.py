"""Settings of the landing stage: when a day's files are complete, how events become labels, and what is tested on."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from jobs.landing.dialect import Dialect, FilePattern, Zone
from jobs.settings.types import Count, Days, Hours, Part, Section, Share


class Landing(Section):
    """How the files of the landing folder are written, and when those of a day are complete.

    A file `landing.toml` in the landing folder has the same keys and comes first.
    """

    # The export that the files come from: it says what `events` and `items` would say. Keys set beside it count more.
    preset: Literal["", "amazon", "ga4", "mind", "retailrocket", "segment", "snowplow"] = ""
    # `make check-landing` writes true beside its guesses. No run reads the files until the line is deleted.
    unchecked: bool = False
    # The DAG reads a day's files once all of them have been unchanged for this many seconds. A file `_SUCCESS` in the
    # folder of the day says the same at once.
    settle_seconds: Annotated[int, Field(ge=0, le=3600)] = 60
    # Hours after the end of the day (UTC) until which the DAG waits for its files. Then the task `wait` fails.
    wait_hours: Annotated[float, Field(ge=0, le=18)] = 12.0
    may_be_empty: bool = False  # whether a day without any event file is a success instead of a failure
    late_days: Days = 30  # a line that comes more days after its event is rejected
    day_zone: Zone = "UTC"  # time zone whose days the day folders are
    time_zone: Zone = "UTC"  # time zone of times that name none
    ignore: tuple[FilePattern, ...] = ()  # patterns of files that are not to be read, such as "backup/{day}/*"
    # New event files of less MiB than this, all together, are read by the job itself, and more by Spark, which has more
    # processes. So are item files.
    local_mib: Annotated[int, Field(ge=0, le=65536)] = 1024
    events: Dialect = Dialect()
    items: Dialect = Dialect()

    @field_validator("events", "items")
    @classmethod
    def _check_fields(cls, dialect: Dialect, info: ValidationInfo) -> Dialect:
        dialect.check_fields(info.field_name or "")
        return dialect


class Logs(Section):
    """How events become labels, and which samples are for training and for testing."""

    # Which events become training samples. impression: what was shown; clicks and purchases are the labels.
    # rating: what was rated. purchase: what was bought, and items drawn as negatives. auto: the first of these three
    # events that the log holds up to the day.
    label: Literal["auto", "impression", "rating", "purchase"] = "auto"
    # A click counts for an impression that was at most this many hours before it, a purchase for an impression or a
    # click at most this many hours before it. With 24, who comes back the next day to buy still counts. More hours find
    # more purchases, but labels are final later, and each run builds more days of samples again.
    attribution_hours: Hours = 24
    like_from: float = 4.0  # lowest rating that counts as a like
    negatives: Count = 4  # items drawn as negatives for each purchase; only used if purchases are the label
    # How test rows are separated from training rows. day: test on the day of the run, train on the days before it.
    # request: test on the latest requests, train on the earlier ones. auto: request if the log holds a single day,
    # otherwise day.
    split: Literal["auto", "day", "request"] = "auto"
    test_share: Part = 0.2  # share of the requests to test on; only used if the split is by request
    train_days: Days = 30  # number of days before the day of the run to train on
    # Share of the users that models learn from and are measured on; a hash of their IDs chooses them. It limits most of
    # the memory and time of two_tower, generate, train and evaluate, and of quantize with vectors from behaviour. All
    # users get recommendations.
    user_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_reject_share: Share = 0.5  # ingest stops if more than this share of a day's event or item lines is rejected
