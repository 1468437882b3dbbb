"""The promotion gate: a pure function of what evaluate and quantize measured."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow.dataset as ds

from jobs.lake import Lake
from jobs.release.model_store import load_card, unreadable
from jobs.release.releases import live
from jobs.release.settings import Gate
from jobs.settings.tree import Settings

CODEBOOK = ("quantize", "codebook", "all")
Measures = dict[tuple[str, str, str, str], dict[str, Any]]  # job, model, slice, metric


@dataclass(frozen=True)
class Decision:
    """What becomes of the day.

    kind   promote (the challenger goes live), keep (the champion stays), none (nothing to publish yet), or past (a
           later day is live: what was published on this day stays as it is)
    uri    the model that is live after it, if any
    """

    kind: str
    uri: str | None
    reason: str


def past(lake: Lake, day: date) -> str | None:
    """Why a day publishes no more: a later one is live. None: it is the live one's or later."""
    newest = live(lake)
    if newest is None or newest["day"] <= day:
        return None
    return f"a release of a later day ({newest['day']}) is live; a backfill changes none"


def decide(lake: Lake, settings: Settings, day: date) -> Decision:
    """Whether the challenger goes live. A gate that says no is no failure: the champion stays."""
    newest = live(lake)
    if why := past(lake, day):
        return Decision("past", None, why)
    if newest and newest["day"] == day and newest["kind"] == "rollback":
        told = f"release {newest['release']} rolled {day} back"
        return Decision("past", None, f"{told}; the next day is compared with what it brought back")
    champion = live(lake, before=str(day))
    uri = str(champion["model_uri"]) if champion else None
    found: Measures = {
        (r["job"], r["model"], r["slice"], r["metric"]): r
        for r in lake.arrow("gold.metrics", where=ds.field("day") == day).to_pylist()
    }
    keep = "keep" if champion else "none"
    metric = settings.gate.metric
    challenger = found.get(("evaluate", "challenger", "all", metric))
    if challenger is None:
        return Decision(keep, uri, "nothing was trained for this day, so no model changes")
    new = f"models/{challenger['version']}/challenger"
    refusal = _refusal(found, challenger, load_card(lake, new).codebook_version, settings)
    if refusal:
        return Decision(keep, uri, refusal)
    old = found.get(("evaluate", "champion", "all", metric))
    delta = found.get(("evaluate", "challenger_minus_champion", "all", metric))
    if champion is None:
        return _first(challenger, metric, Decision(keep, uri, ""), Decision("promote", new, "the first model"))
    if old is None or delta is None or old["version"] != champion["model_version"]:
        if why := unreadable(lake, str(uri)):
            told = f"the first model after one that cannot be read ({why})"
            return _first(challenger, metric, Decision(keep, uri, ""), Decision("promote", new, told))
        told = f"the challenger was not compared with the live model, {champion['model_version']}"
        return Decision("keep", uri, f"{told}: run evaluate of this day again")
    known = delta["ci_low"] is not None  # in some draw of users it may be undefined
    near = f", 95 % interval {delta['ci_low']:+.4f} to {delta['ci_high']:+.4f}" if known else ""
    told = (
        f"{metric.upper()} {challenger['value']:.4f} against the champion's {old['value']:.4f}"
        f" (difference {delta['value']:+.4f}{near})"
    )
    if delta["value"] > -settings.gate.max_drop:
        return Decision("promote", new, told)
    return Decision("keep", uri, f"not better: {told}")


def _first(challenger: dict[str, Any], metric: str, wait: Decision, go: Decision) -> Decision:
    """What becomes of a challenger that there is no model to compare with."""
    told = f"{metric.upper()} {challenger['value']:.4f}"
    low = challenger["value"] if challenger["ci_low"] is None else challenger["ci_low"]
    if low > 0.5:
        return replace(go, reason=f"{go.reason}: {told}")
    return replace(wait, reason=f"{told} is no better than chance (95 % interval from {low:.4f}): wait for more logs")


def _refusal(found: Measures, challenger: dict[str, Any], codebook: str, settings: Settings) -> str | None:
    gate = settings.gate
    if challenger["value"] is None:
        which = "no user of the day has rows" if gate.metric == "gauc" else "the day has no rows"
        return f"{which} of both classes, so nothing can be compared"
    if challenger["rows"] < gate.min_test_rows:
        return f"only {challenger['rows']} rows to judge by, gate.min_test_rows is {gate.min_test_rows}"
    measured = {key[3]: row for key, row in found.items() if key[:3] == CODEBOOK}
    own = {name: row["value"] for name, row in measured.items() if row["version"] == codebook}
    if measured and not own:
        return f"the IDs of another codebook than the challenger's ({codebook}) were measured: run train again"
    return _unhealthy(own, gate)


def _unhealthy(health: dict[str, float | None], gate: Gate) -> str | None:
    """What of the semantic IDs is beyond its threshold; what was not measured is not."""
    most_shared, in_one, lowest = gate.max_collision_rate, gate.max_bucket_share, gate.min_hr_at_10
    shared, bucket, found = (health.get(name) for name in ("collision_rate", "bucket_share", "hr_at_10"))
    if shared is not None and shared > most_shared:
        return f"{shared:.1%} of the items share their semantic ID, gate.max_collision_rate is {most_shared:.1%}"
    if bucket is not None and bucket > in_one:
        return f"{bucket:.1%} of the items have one and the same semantic ID, gate.max_bucket_share is {in_one:.1%}"
    if found is not None and found < lowest:
        return f"{found:.1%} of the items are found by their own semantic ID, gate.min_hr_at_10 is {lowest:.1%}"
    return None
