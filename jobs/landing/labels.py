"""Which kind of event labels the training samples, and what each kind of sample needs to know."""

import math
from datetime import date, timedelta
from typing import Any, Literal

import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.lake import Lake, arrow_dataset
from jobs.landing.settings import Logs

Label = Literal["impression", "rating", "purchase"]
LABELS: tuple[Label, ...] = ("impression", "rating", "purchase")  # the first that a log holds is its label


def choose_label(lake: Lake, logs: Logs, day: date) -> Label:
    """The label of the settings, or the first of `LABELS` that the log holds up to `day`.

    All events up to the day count, not those of the day alone: so no day gets another label by chance.
    """
    if logs.label != "auto":
        return logs.label
    return next((label for label in LABELS if find_first_day(lake, label) <= day), "purchase")


def find_first_day(lake: Lake, event: str) -> date:
    """The first day on which a known user has such an event; `date.max` if there is none."""
    if event != "impression":
        text = "SELECT min(day) AS day FROM silver.histories WHERE event = :event"
        return lake.query(text, event=event)["day"][0].as_py() or date.max
    table = lake.delta("silver.events")
    dataset = arrow_dataset(table)
    is_wanted = (ds.field("event") == event) & pc.is_valid(ds.field("user_id"))
    with lake.report_damage("silver.events"):
        if dataset.head(1, columns=["event"], filter=is_wanted).num_rows:
            for day in sorted(date.fromisoformat(partition["day"]) for partition in table.partitions()):
                if dataset.head(1, columns=["event"], filter=is_wanted & (ds.field("day") == day)).num_rows:
                    return day
    return date.max


def count_days_ahead(logs: Logs, label: Label) -> int:
    """How many days after its own day an event can still change the label of a sample.

    A click may come `attribution_hours` after the impression, and the purchase as long after the click.
    """
    return 0 if label == "rating" else math.ceil(2 * logs.attribution_hours / 24)


def label_parameters(lake: Lake, logs: Logs, label: Label, last: date) -> dict[str, Any]:
    """The parameters of `sql/transforms/samples_<label>.sql`, apart from the days to build.

    last  the last of these days
    """
    window = logs.attribution_hours * 3_600_000_000  # microseconds
    match label:
        case "impression":
            first_days = {
                "clicks_from": find_first_day(lake, "click"),
                "purchases_from": find_first_day(lake, "purchase"),
            }
            return {**first_days, "until": last + timedelta(days=count_days_ahead(logs, label)), "window": window}
        case "rating":
            return {"like_from": logs.like_from}
        case "purchase":
            return {"negatives": logs.negatives, "window": window}
