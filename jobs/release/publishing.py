"""Writes releases: the release of a day, and a rollback to an earlier one."""

import sys
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from jobs.lake import Lake, UserError, arrow_dataset
from jobs.lake.arrow import distinct_strings
from jobs.lake.contracts import contracts
from jobs.release.decisions import LISTS
from jobs.release.gate import Decision
from jobs.release.mlflow_registry import set_champion_alias
from jobs.release.model_store import load_card
from jobs.release.releases import find_rollback, list_releases, live_release, models_of

TABLE = "gold.releases"
METRICS = "gold.metrics"
GENERATED = "gold.generated"


def publish_release(lake: Lake, day: date, decision: Decision) -> int:
    """Write the release of the day. returns its number

    A rerun of the newest day replaces its row, so a day is published once.

    raises  UserError if recommend has not made the lists of this decision
    """
    assert decision.uri is not None
    if missing := [name for name in LISTS if name not in decision.tables]:
        raise UserError(f"{missing[0]} of {day} was not made for this decision: run recommend of this day again")
    card = load_card(lake, decision.uri)
    newest = live_release(lake)
    is_rerun = newest is not None and newest["day"] == day and newest["kind"] != "rollback"
    number = (int(newest["release"]) if newest else 0) + (not is_rerun)
    row = {
        "release": number,
        "kind": decision.kind,
        "model_version": card.model_version,
        "model_uri": decision.uri,
        "codebook_version": card.codebook_version,
        "encoder_version": card.encoder_version,
        "generator_uri": _find_generator(lake, day, decision.tables.get(GENERATED)),
        "tables": [*decision.tables.items(), (METRICS, lake.outputs[METRICS])],
        "reason": decision.reason,
        "run_id": lake.run_id,
        "day": day,
    }
    _write_release(lake, row)
    return number


def roll_back(lake: Lake) -> dict[str, Any]:
    """Make the newest release with another ranker or another generator live again, as a new release. returns its row

    The new release has the day of the live one, so the next day finds it as its champion.
    raises  UserError if there is no release to roll back to, or if one of its models is gone
    """
    releases = list_releases(lake)
    if not releases:
        raise UserError("there is no release yet, so there is nothing to roll back to")
    live, target = releases[0], find_rollback(releases)
    if target is None:
        raise UserError(
            f"no release before the model {live['model_version']} has another ranker or generator: there is nothing to"
            " roll back to"
        )
    for uri in filter(None, (target["model_uri"], target["generator_uri"])):
        load_card(lake, uri)  # raises if its files are gone
    row: dict[str, Any] = target | {
        "release": live["release"] + 1,
        "kind": "rollback",
        "reason": f"rolled back from release {live['release']} to release {target['release']}",
        "run_id": lake.run_id,
        "day": live["day"],
    }
    set_champion_alias(lake, row["model_uri"])
    _write_release(lake, row)
    changes = ", ".join(
        _describe_change(name, before, after)
        for name, before, after in zip(("ranker", "generator"), _names_of(live), _names_of(row), strict=True)
    )
    print(f"Release {row['release']} is live: {row['reason']}, {changes}.", file=sys.stderr, flush=True)
    return row


def _names_of(release: dict[str, Any]) -> tuple[str, str]:
    """The versions of the ranker and of the generator of a release, in words."""
    ranker, generator_uri = models_of(release)
    return ranker, generator_uri.split("/")[1] if generator_uri else "none"


def _describe_change(name: str, before: str, after: str) -> str:
    return f"{name} {after} (unchanged)" if before == after else f"{name} {after} (before: {before})"


def _find_generator(lake: Lake, day: date, version: int | None) -> str | None:
    """Where the trained generator is whose lists of the day a version of gold.generated holds; None without one."""
    where = (ds.field("day") == day) & (ds.field("source") == "generator")
    batches = lake.batches(GENERATED, ["model_version"], where, version)
    versions = distinct_strings(batch["model_version"] for batch in batches)
    return f"models/{versions[0]}/generator" if len(versions) else None


def _write_release(lake: Lake, row: dict[str, Any]) -> None:
    """Write the release in one commit. It replaces a release of its day that has the same number.

    raises  CommitFailedError if another run has taken the number since this run looked
    """
    table = DeltaTable(lake.path(TABLE), version=lake.delta(TABLE).version())
    has_number = ds.field("release") == int(row["release"])
    for taken in arrow_dataset(table).to_table(["kind", "day"], has_number).to_pylist():
        if "rollback" in (taken["kind"], row["kind"]) or taken["day"] != row["day"]:
            raise CommitFailedError(f"Failed to commit transaction: another run wrote release {row['release']}")
    write_deltalake(
        table,  # the commit fails if another run takes the number from now on
        pa.Table.from_pylist([row], contracts()[TABLE].arrow),
        mode="overwrite",
        predicate=f"release = {int(row['release'])}",
        commit_properties=lake.commit_properties(),
    )
    lake.record_write(TABLE)
