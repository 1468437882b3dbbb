"""Good lines from the bronze tables into silver.events and silver.items."""

from datetime import date

from jobs.lake import Lake
from jobs.landing.accounting import load_touched_days


def find_rewritten_days(lake: Lake, span: dict[str, date]) -> set[date]:
    """The event days that an earlier run of `since` to `day` wrote, and that must therefore be written again."""
    text = "SELECT DISTINCT day FROM silver.events WHERE landed_day BETWEEN :since AND :day"
    return set(lake.query(text, **span)["day"].to_pylist()) | load_touched_days(lake, span["day"])


def replace_events(lake: Lake, days: list[date]) -> None:
    """Write the days of silver.events again, from all good lines of these days in bronze.raw_events."""
    if days:
        lake.replace("silver.events", lake.transform("clean_events", days=days), day=days)


def merge_items(lake: Lake, span: dict[str, date], has_good_lines: bool) -> None:
    """Put the latest version of each item of the days into silver.items.

    Items whose only lines disappeared from the landing folder leave the table.
    """
    known_items = lake.query("SELECT 1 FROM silver.items WHERE day BETWEEN :since AND :day LIMIT 1", **span)
    if known_items.num_rows or has_good_lines:
        lake.remember_version("silver.items")
        lake.transform("latest_items", **span).createOrReplaceTempView("latest")
        lake.transform("merge_items", **span).collect()
        lake.outputs["silver.items"] = lake.version("silver.items")
