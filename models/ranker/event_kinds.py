"""The types of events in histories, as numbers."""

EVENT_KINDS = {"click": 0, "purchase": 1, "like": 2, "impression": 3, "dislike": 4}
SHOWN_ONLY = tuple(EVENT_KINDS[name] for name in ("impression", "dislike"))  # not something that a user wanted
SHOWN_BY_TASK = {"click": ("impression",), "purchase": ("impression",), "like": ("like", "dislike")}


def shown_kinds(task: str) -> tuple[int, ...]:
    """The types of the events that showed an item, for a task."""
    return tuple(EVENT_KINDS[name] for name in SHOWN_BY_TASK[task])
