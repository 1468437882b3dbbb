"""What to do about the reasons for which lines are rejected. `check-landing` and ingest print it beside the reason."""

DECIMAL = 'if its decimals follow a comma, write decimal = "," below [events] or [items] in landing.toml'
TIME = "no setting reads other forms: convert the column to times such as 2026-11-20T09:00:00Z"
HINTS = {
    "event_id is missing": 'if lines have no ID, write same = ["user_id", "item_id", "event", "ts"] below [events]',
    "event is of an unknown type": "say what it is below [events.names] in landing.toml",
    "event is missing": 'if no column says it, write fixed = { event = "click" } below [events] in landing.toml',
    "item_id is missing": "name its column below [events.columns] or [items.columns] in landing.toml",
    "ts is missing": "name its column below [events.columns] in landing.toml",
    "ts is not an ISO 8601 time": TIME,
    "updated_at is not an ISO 8601 time": TIME,
    "ts is in the future": "if the folders are no days in UTC, write day_zone at the top of landing.toml",
    "value is not a number": DECIMAL,
    "price is not a number": DECIMAL,
}


def explain_reason(reason: str) -> str:
    """The reason, and in brackets what to do about it, if a hint is known."""
    hint = HINTS.get(reason)
    return f"{reason} ({hint})" if hint else reason
