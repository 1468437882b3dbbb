"""How log files are written: the keys of `[landing.events]` and `[landing.items]`, and the fields of a line."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from jobs.landing.synonyms import simplify
from jobs.settings.types import Section

FIELDS = {
    "events": (
        "event_id", "user_id", "item_id", "event", "ts", "value", "price", "request_id", "position", "order_id", "seq",
    ),
    "items": ("item_id", "title", "description", "category", "attributes", "image", "price", "updated_at"),
}  # fmt: skip


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("expected the name of a time zone, such as UTC or America/New_York") from None
    return name


def _check_encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError("expected the name of an encoding, such as utf-8, latin-1 or windows-1252") from None
    return name


def _check_pattern(pattern: str) -> str:
    if pattern.count("{day}") > 1:
        raise ValueError("expected {day} at most once in a pattern; write * for the second one")
    return pattern


FilePattern = Annotated[str, AfterValidator(_check_pattern)]
EventName = Literal["impression", "click", "purchase", "cancel", "rating", "ignore"]
Query = Literal[
    "", "amazon_items", "ga4_events", "mind_events", "mind_items", "retailrocket_items", "segment_events",
    "snowplow_events",
]  # fmt: skip
Zone = Annotated[str, AfterValidator(_check_zone)]
Encoding = Annotated[str, AfterValidator(_check_encoding)]


def find_similar(name: str, known: Iterable[str]) -> str:
    """Say which name was probably meant, such as "; did you mean user_id?". Empty if no name is similar."""
    spelling = {simplify(candidate): candidate for candidate in known}
    similar = get_close_matches(simplify(name), spelling, n=1)
    return f"; did you mean {spelling[similar[0]]}?" if similar else ""


class Dialect(Section):
    """How the event files, or the item files, are written."""

    # Which files: patterns of paths inside the landing folder, such as "clicks/{day}/{hour}/*.json". Empty: files whose
    # names begin with events (or items).
    files: tuple[FilePattern, ...] = ()
    # Empty: the ending of the file name says it. lines: text that only a preset can take apart.
    format: Literal["", "jsonl", "csv", "parquet", "lines"] = ""
    encoding: Encoding = "utf-8"  # of JSON and CSV
    delimiter: str = ""  # of CSV; empty: a comma, or the ; tab or | that alone separates the needed columns
    escape: Literal["", "\\"] = ""  # what stands before a quote inside a quoted CSV field; empty: a second quote
    null: tuple[str, ...] = ("", "\\N")  # CSV fields that mean "not known"
    decimal: Literal[".", ","] = "."  # what separates the decimals of a number in CSV and JSON texts
    columns: dict[str, str] = Field(default={})  # field: its column, or the path to it, such as item_id = "product.sku"
    fixed: dict[str, str] = Field(default={})  # field: its value in each line, such as event = "rating"
    # What the log calls an event: what it is, such as view = "impression". "*": all other names. Lines of an event that
    # is "ignore" are counted as rejected, but do not stop a run.
    names: dict[str, EventName] = Field(default={})
    # Fields that make two event lines the same event, for logs without event_id. Empty: event_id does.
    same: tuple[str, ...] = ()
    query: Query = ""  # of `jobs/landing/presets`: makes rows of lines. A preset sets it

    def check_fields(self, kind: str) -> None:
        """raises ValueError if a key names a field that lines of the kind do not have"""
        for key, names in (("columns", self.columns), ("fixed", self.fixed), ("same", self.same)):
            for name in names:
                if name not in FIELDS[kind]:
                    similar = find_similar(name, FIELDS[kind])
                    raise ValueError(f"{key}: {name} is no field{similar}; fields are {', '.join(FIELDS[kind])}")
