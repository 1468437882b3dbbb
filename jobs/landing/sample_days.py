"""Which days of gold.samples must be built: those asked for, and those that new lines change."""

from datetime import date, timedelta

from jobs.lake import Lake
from jobs.landing.accounting import load_touched_days
from jobs.landing.labels import find_first_day

TABLE = "gold.samples"
DAY = timedelta(days=1)


def list_day_ranges(lake: Lake, since: date, day: date, days_ahead: int) -> list[tuple[date, date]]:
    """The days to build, as (first, last) of each unbroken range: `since` to `day`, and built days that changed.

    A new line changes the samples of its own day. It changes those of the next day: that may hold the end of a request
    that began before midnight. And it changes those of the days before: it may be a click, purchase or cancel that
    belongs to one of their samples.

    days_ahead  how many days after its own day an event can change the label of a sample
    """
    asked_for = {since + n * DAY for n in range((day - since).days + 1)}
    built = {date.fromisoformat(partition["day"]) for partition in lake.delta(TABLE).partitions()}
    touched = load_touched_days(lake, day)
    new_days = touched | asked_for
    earlier_days = {new_day - n * DAY for new_day in new_days for n in range(1, days_ahead + 1)}
    stale = built & (touched | {touched_day + DAY for touched_day in touched} | earlier_days)
    first_days = touched & {find_first_day(lake, event) for event in ("impression", "rating", "click", "purchase")}
    if first_days:  # a kind of event now begins earlier: labels of later days that were unknown become known
        stale |= {built_day for built_day in built if built_day > min(first_days)}
    ranges: list[tuple[date, date]] = []
    for next_day in sorted(stale | asked_for):
        if ranges and next_day - ranges[-1][1] == DAY:
            ranges[-1] = (ranges[-1][0], next_day)
        else:
            ranges.append((next_day, next_day))
    return ranges
