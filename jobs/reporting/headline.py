"""The first sentences of the report: whether the challenger was promoted, and why."""

from datetime import date

from jobs.reporting.metrics import Metrics, Row


def build_headline(metrics: Metrics, release: Row | None, live: Row | None, day: date) -> str:
    """Say whether the challenger of `day` was promoted, and why.

    release   the release that the run of the day wrote, if any
    live      the release that is live today, if any
    """
    if release:
        decision = "The challenger was promoted" if release["kind"] == "promote" else "The champion stays"
        headline = f"{decision}. {_as_sentence(release['reason'])}"
        if live and live["kind"] == "rollback" and live["day"] == day:
            headline += f" It was then rolled back: release {live['release']} is live."
        return headline
    if metrics.value(day, "ingest", "rows", "events", "rows_in") == 0:
        return "There were no events on this day, so no model changed."
    if live and live["day"] > day:
        return f"Nothing was released: a release of a later day ({live['day']}) is live."
    if any(key[:2] == (day, "promote") for key in metrics.rows):
        reasons = metrics.texts(day, "promote", "refused")
        return f"Nothing was released. {_as_sentence(reasons[0])}" if reasons else "Nothing was released."
    if any(key[0] == day for key in metrics.rows):
        return "Nothing was released: the run of this day did not get as far as a decision."
    return "Nothing was measured on this day."


def _as_sentence(reason: str) -> str:
    text = reason.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
