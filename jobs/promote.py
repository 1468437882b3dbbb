"""Publish the day: the MLflow alias, and last of all one row in gold.releases.

    python -m jobs.promote --day 2026-11-20
    python -m jobs.promote --day 2026-11-20 --rollback

The gate (`jobs.release.gate`) decides between challenger and champion; both ways a release names the exact version of
every table. --rollback publishes the release before the live one again, as a new row.
"""

import argparse
import sys
from datetime import date
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from jobs.lake import JobResult, Lake, UserError
from jobs.lake.contracts import contracts
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.release.gate import Decision, decide
from jobs.release.mlflow_registry import mark, register
from jobs.release.model_store import load_card
from jobs.release.releases import live
from jobs.runtime.entry import main
from jobs.settings.tree import Settings

TABLE = "gold.releases"
PUBLISHED = (
    "silver.events", "silver.items", "silver.item_pairs", "gold.item_embeddings", "gold.codebooks",
    "gold.semantic_ids", "gold.samples", "gold.metrics", "gold.recommendations", "gold.explanations",
)  # fmt: skip


def run(lake: Lake, settings: Settings, day: date, rollback: bool = False) -> JobResult:
    if rollback:
        return _rollback(lake)
    decision = decide(lake, settings, day)
    if decision.kind != "past":
        promoted = metric_rows("challenger", "all", {"promoted": decision.kind == "promote"})
        if decision.uri is None:
            promoted += metric_rows("challenger", "refused", {decision.reason: 1.0})
        replace_metrics(lake, "promote", day, promoted)
    if decision.uri is None:
        return JobResult(notes={"released": False, "promoted": False, "reason": decision.reason})
    register(lake, settings, day, decision)
    number = _publish(lake, day, decision)
    notes = {
        "released": True,
        "promoted": decision.kind == "promote",
        "release": number,
        "reason": decision.reason,
    }
    return JobResult(rows_out=1, notes=notes)


def _publish(lake: Lake, day: date, decision: Decision) -> int:
    """Write the release. A rerun of the newest day replaces its row, so that it is published once."""
    assert decision.uri is not None
    card = load_card(lake, decision.uri)
    newest = live(lake)
    again = newest is not None and newest["day"] == day and newest["kind"] != "rollback"
    number = (int(newest["release"]) if newest else 0) + (not again)
    row = {
        "release": number,
        "kind": decision.kind,
        "model_version": card.model_version,
        "model_uri": decision.uri,
        "codebook_version": card.codebook_version,
        "encoder_version": card.encoder_version,
        "tables": [(name, lake.version(name)) for name in PUBLISHED],
        "reason": decision.reason,
        "run_id": lake.run_id,
        "day": day,
    }
    _write(lake, row)
    return number


def _rollback(lake: Lake) -> JobResult:
    """The newest release whose model is not the live one goes live again, as a release of the live one's day.

    So the next day finds it as its champion.
    """
    rows = sorted(lake.arrow(TABLE).to_pylist(), key=lambda r: r["release"], reverse=True)
    if not rows:
        raise UserError("there is no release yet, so there is nothing to roll back to")
    made = [r for r in rows if r["kind"] != "rollback"]
    origin = next(r for r in made if r["model_version"] == rows[0]["model_version"])  # a second rollback goes further
    older = [r for r in made if r["release"] < origin["release"]]
    before = next((r for r in older if r["model_version"] != rows[0]["model_version"]), None)
    if before is None:
        raise UserError(f"no release before the model {rows[0]['model_version']} has another: nothing to roll back to")
    load_card(lake, before["model_uri"])  # raises if its files are gone
    reason = f"rolled back from release {rows[0]['release']} to release {before['release']}"
    row = before | {
        "release": rows[0]["release"] + 1,
        "kind": "rollback",
        "reason": reason,
        "run_id": lake.run_id,
        "day": rows[0]["day"],
    }
    mark(lake, row["model_uri"])
    _write(lake, row)
    print(f"Release {row['release']} is live: {reason}, model {row['model_version']}.", file=sys.stderr, flush=True)
    return JobResult(
        rows_out=1, notes={"release": row["release"], "model_version": row["model_version"], "reason": reason}
    )


def _write(lake: Lake, row: dict[str, Any]) -> None:
    """One commit, whether the release is new or replaces the same number."""
    write_deltalake(
        lake.path(TABLE),
        pa.Table.from_pylist([row], contracts()[TABLE].arrow),
        mode="overwrite",
        predicate=f"release = {int(row['release'])}",
        commit_properties=CommitProperties(custom_metadata={"run_id": lake.run_id}),
    )
    lake.outputs[TABLE] = lake.version(TABLE)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rollback", action="store_true", help="publish the release before the live one again")


if __name__ == "__main__":
    main(run, arguments)
