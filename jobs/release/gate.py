"""The gate: decides between challenger and champion by what `evaluate` and `quantize` measured."""

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pyarrow.dataset as ds

from jobs.lake import Lake
from jobs.release.evidence import find_objection, pool_days
from jobs.release.model_store import load_card, why_unreadable
from jobs.release.releases import live_release
from jobs.release.settings import SLICE_OF, Gate
from jobs.settings.tree import Settings

CODEBOOK = ("quantize", "codebook", "all")
Measured = dict[tuple[str, str, str, str], dict[str, Any]]  # rows of gold.metrics by job, model, slice, metric


@dataclass(frozen=True)
class Decision:
    """What the day publishes.

    kind              promote: the challenger goes live. keep: the champion stays live. none: there is nothing to
                      publish yet. superseded: a later release is live, so what this day published stays unchanged
    uri               address of the model that is live after this decision, None if there is none
    champion_release  release of the champion, None if there was none
    tables            versions of the tables that the decision is based on, by table name
    """

    kind: str
    uri: str | None
    reason: str
    champion_release: int | None = None
    tables: dict[str, int] = field(default_factory=dict)


def superseded_by_later_release(lake: Lake, day: date) -> str | None:
    """Why this day publishes nothing: a release of a later day is live. None if there is no such release."""
    newest = live_release(lake)
    if newest is None or newest["day"] <= day:
        return None
    return f"a release of a later day ({newest['day']}) is live, and running an older day again does not change it"


def why_closed(lake: Lake, day: date) -> str | None:
    """Why nothing more is decided about this day: a later day is live, or the day was rolled back. None if it is."""
    newest = live_release(lake)
    if newest and newest["day"] == day and newest["kind"] == "rollback":
        reason = f"release {newest['release']} rolled {day} back"
        return f"{reason}; the next day is compared with the model that is live now"
    return superseded_by_later_release(lake, day)


def decide(lake: Lake, settings: Settings, day: date, tables: dict[str, int] | None = None) -> Decision:
    """Decide whether the challenger goes live. If it does not, the champion stays, and the run still succeeds.

    tables  versions of the tables on which the models were compared
    """
    if reason := why_closed(lake, day):
        return Decision("superseded", None, reason)
    champion = live_release(lake, before=str(day))
    uri = str(champion["model_uri"]) if champion else None
    measured: Measured = {
        (r["job"], r["model"], r["slice"], r["metric"]): r
        for r in lake.arrow("gold.metrics", where=ds.field("day") == day).to_pylist()
    }
    champion_release = int(champion["release"]) if champion else None
    keep = Decision("keep" if champion else "none", uri, "", champion_release, tables or {})
    metric, slice_ = settings.gate.metric, SLICE_OF[settings.gate.protocol]
    challenger = measured.get(("evaluate", "challenger", slice_, metric))
    if challenger is None:
        return replace(keep, reason="nothing was trained for this day, so no model changes")
    promote = replace(keep, kind="promote", uri=f"models/{challenger['version']}/challenger")
    codebook = load_card(lake, str(promote.uri)).codebook_version
    if reason := _find_objection(measured, challenger, codebook, settings.gate):
        return replace(keep, reason=reason)
    if champion is None:
        return _decide_alone(challenger, metric, keep, replace(promote, reason="the first model"))
    champion_row = measured.get(("evaluate", "champion", slice_, metric))
    if champion_row is None or champion_row["version"] != champion["model_version"]:
        if unreadable := why_unreadable(lake, str(uri)):
            reason = f"the first model after a champion that cannot be read ({unreadable})"
            return _decide_alone(challenger, metric, keep, replace(promote, reason=reason))
        reason = f"the challenger was not compared with the live model, {champion['model_version']}"
        return replace(keep, reason=f"{reason}: run evaluate of this day again")
    return _compare(lake, settings.gate, day, measured, keep, promote)


def _compare(lake: Lake, gate: Gate, day: date, measured: Measured, keep: Decision, promote: Decision) -> Decision:
    """The decision about a challenger that was compared with the champion."""
    slice_ = SLICE_OF[gate.protocol]
    challenger, champion, differences = (
        {key[3]: row for key, row in measured.items() if key[:3] == ("evaluate", model, slice_)}
        for model in ("challenger", "champion", "challenger_minus_champion")
    )
    values = f"{gate.metric.upper()} {challenger[gate.metric]['value']:.4f} against the champion's"
    values = f"{values} {champion[gate.metric]['value']:.4f}"
    difference = pool_days(lake, gate, str(champion[gate.metric]["version"]), day)
    if difference is None:
        return replace(keep, reason=f"{values}: the difference has no interval, so both may be the same model")
    reason = f"{values} ({difference})"
    if objection := find_objection(difference, challenger, champion, differences["log_loss"], gate):
        return replace(keep, reason=f"{objection}: {reason}")
    return replace(promote, reason=reason)


def _decide_alone(challenger: dict[str, Any], metric: str, keep: Decision, promote: Decision) -> Decision:
    """The decision about a challenger if there is no model to compare it with: it must be better than chance."""
    value = f"{metric.upper()} {challenger['value']:.4f}"
    low = challenger["value"] if challenger["ci_low"] is None else challenger["ci_low"]
    if low > 0.5:
        return replace(promote, reason=f"{promote.reason}: {value}")
    return replace(keep, reason=f"{value} is no better than chance (95 % interval from {low:.4f}): wait for more logs")


def _find_objection(measured: Measured, challenger: dict[str, Any], codebook: str, gate: Gate) -> str | None:
    """Why the challenger may not go live, whatever it is compared with."""
    if challenger["value"] is None:
        which = "no user of the day has rows" if gate.metric == "gauc" else "the day has no rows"
        return f"{which} of both classes, so models cannot be compared"
    if challenger["rows"] < gate.min_test_rows:
        return f"the day has only {challenger['rows']} test rows, gate.min_test_rows is {gate.min_test_rows}"
    codebook_rows = {key[3]: row for key, row in measured.items() if key[:3] == CODEBOOK}
    health = {name: row["value"] for name, row in codebook_rows.items() if row["version"] == codebook}
    if codebook_rows and not health:
        return f"quantize measured another codebook than the challenger's ({codebook}): run train again"
    return _find_unhealthy_ids(health, gate)


def _find_unhealthy_ids(health: dict[str, float | None], gate: Gate) -> str | None:
    """Which number of the semantic IDs is beyond its threshold. Numbers that were not measured are skipped."""
    collisions, largest_bucket, hit_rate = (health.get(name) for name in ("collision_rate", "bucket_share", "hr_at_10"))
    if collisions is not None and collisions > gate.max_collision_rate:
        limit = f"gate.max_collision_rate is {gate.max_collision_rate:.1%}"
        return f"{collisions:.1%} of the items share their semantic ID with another item, {limit}"
    if largest_bucket is not None and largest_bucket > gate.max_bucket_share:
        limit = f"gate.max_bucket_share is {gate.max_bucket_share:.1%}"
        return f"{largest_bucket:.1%} of the items have the same semantic ID, {limit}"
    if hit_rate is not None and hit_rate < gate.min_hr_at_10:
        limit = f"gate.min_hr_at_10 is {gate.min_hr_at_10:.1%}"
        return f"only {hit_rate:.1%} of the items are found by their own semantic ID, {limit}"
    return None
