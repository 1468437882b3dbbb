"""The decision of a day: evaluate makes it once and writes it down, recommend and promote follow it."""

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from jobs.release.gate import Decision, why_closed
from jobs.release.releases import live_release

TABLE = "gold.decisions"
EVALUATED = (
    "silver.events", "silver.histories", "silver.items", "silver.item_ids", "gold.item_embeddings", "gold.codebooks",
    "gold.semantic_ids", "gold.samples",
)  # fmt: skip
CANDIDATES = ("silver.item_pairs", "gold.generated")  # judge and generate may write them while evaluate runs
LISTS = ("gold.recommendations", "gold.explanations")


def evaluated_versions(lake: Lake) -> dict[str, int]:
    """The versions of the tables on which the models of a day are compared."""
    return {name: lake.delta(name).version() for name in EVALUATED}


def write_decision(lake: Lake, day: date, decision: Decision) -> None:
    """Write the decision of a day. It replaces an earlier one of the same day."""
    row = {
        "kind": decision.kind,
        "model_uri": decision.uri,
        "champion_release": decision.champion_release,
        "reason": decision.reason,
        "tables": list(decision.tables.items()),
        "run_id": lake.run_id,
        "day": day,
    }
    lake.replace(TABLE, pa.Table.from_pylist([row], contracts()[TABLE].arrow), day=day)


def candidate_versions(lake: Lake) -> dict[str, int]:
    """The versions of the tables that candidates come from, besides those that evaluate reads."""
    return {name: lake.delta(name).version() for name in CANDIDATES}


def write_lists_versions(lake: Lake, day: date, decision: Decision, candidates: dict[str, int]) -> None:
    """Add to the decision which versions hold its lists, and from which versions their candidates came."""
    versions = {name: lake.outputs[name] for name in LISTS} | candidates
    write_decision(lake, day, replace(decision, tables=decision.tables | versions))


def load_decision(lake: Lake, day: date) -> Decision:
    """The decision that evaluate wrote down; of kind `superseded` if a release that is live has settled the day since.

    raises  UserError if there is no decision, or if another model has gone live since
    """
    if reason := why_closed(lake, day):
        return Decision("superseded", None, reason)
    rows = lake.arrow(TABLE, where=ds.field("day") == day).to_pylist()
    if not rows:
        raise UserError(f"there is no decision about {day} yet: run evaluate of this day first")
    row = rows[0]
    champion = live_release(lake, before=str(day))
    number = champion["release"] if champion else None
    if number != row["champion_release"]:
        raise UserError(
            f"evaluate of {day} compared the challenger with release {row['champion_release']}, but release {number}"
            " is live: run evaluate of this day again"
        )
    return Decision(row["kind"], row["model_uri"], row["reason"], row["champion_release"], dict(row["tables"]))
