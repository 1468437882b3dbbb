"""Recommend K items to every active user, with the ranking model that goes live, as evaluate decided.

    python -m jobs.recommend --day 2026-11-20

Reads gold.decisions, the model, silver.events, silver.items, silver.item_pairs, gold.generated, gold.item_embeddings
and gold.semantic_ids. Writes gold.recommendations, and gold.explanations for the few users that the report shows,
partition day. It then adds their versions to gold.decisions.
Candidates are the judged pairs of the user's last items, the nearest items to these by embedding (QARM V2, section 6:
triggers x neighbours), what generate found, and the most popular items. `[recommend] order` says how they are ordered.
"""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake import JobResult, Lake, UserError
from jobs.lake.contracts import contracts
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.ranking.lists import find_active_users, load_sources, name_sources, rank_candidates
from jobs.ranking.scoring import Scorer
from jobs.release.decisions import candidate_versions, load_decision, write_lists_versions
from jobs.reporting.example_users import load_first_recommendations
from jobs.runtime.entry import main
from jobs.settings.tree import Settings

LISTS, EXPLANATIONS = "gold.recommendations", "gold.explanations"


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    decision = load_decision(lake, day)
    if decision.kind == "superseded":
        return JobResult(notes={"skipped": decision.reason})
    if decision.uri is None:
        for table in (LISTS, EXPLANATIONS):
            lake.replace(table, pa.Table.from_pylist([], contracts()[table].arrow), day=day)
        replace_metrics(lake, "recommend", day, [])
        return JobResult(notes={"skipped": decision.reason})
    versions = candidate_versions(lake)
    with lake.read_at(decision.tables | versions):
        result = _write_lists(lake, settings, day, decision.uri)
    write_lists_versions(lake, day, decision, versions)
    return result


def _write_lists(lake: Lake, settings: Settings, day: date, model_uri: str) -> JobResult:
    scorer = Scorer.load(lake, settings, day, model_uri)
    users = find_active_users(scorer.histories, settings, day)
    sources = load_sources(lake, settings, day, scorer)
    user, rank, item, score, found_by = rank_candidates(scorer, users, sources, settings.recommend)
    if len(users) and not len(user) and "popular" not in settings.recommend.sources:
        names = ", ".join(settings.recommend.sources)
        raise UserError(
            f"none of {len(users)} users has a candidate: [recommend] sources is {names}, and these found nothing"
            " that the users have not seen; add popular"
        )
    columns = [scorer.users.take(user), rank, scorer.items.ids.take(item), score, name_sources(found_by)]
    columns += [[scorer.model_version] * len(rank), [day] * len(rank)]
    contract = contracts()[LISTS]
    lake.replace(LISTS, pa.table(dict(zip(contract.names, columns, strict=True)), contract.arrow), day=day)
    lake.replace(EXPLANATIONS, _explain_shown_items(lake, scorer), day=day)
    values = {"users": len(users), "items_per_user": len(rank) / max(len(users), 1)}
    replace_metrics(lake, "recommend", day, metric_rows("ranker", "all", values))
    return JobResult(len(users), len(rank), notes={"model_version": scorer.model_version})


def _explain_shown_items(lake: Lake, scorer: Scorer) -> pa.Table:
    """Why the users that the report shows get their first items."""
    rows = load_first_recommendations(lake, scorer.day)
    user = pc.index_in(pa.array([row["user_id"] for row in rows], pa.string()), scorer.users).to_numpy()
    target = scorer.items.index_of(pa.array([row["item_id"] for row in rows], pa.string()))
    return pa.Table.from_pylist(scorer.explain(user.astype(np.int64), target), contracts()[EXPLANATIONS].arrow)


if __name__ == "__main__":
    main(run)
