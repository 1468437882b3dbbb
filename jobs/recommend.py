"""Recommend K items to every active user, with the ranking model that goes live, as evaluate decided.

    python -m jobs.recommend --day 2026-11-20

Reads gold.decisions, the model, silver.histories, silver.events, silver.items, silver.item_ids, silver.item_pairs,
gold.generated, gold.item_embeddings and gold.semantic_ids. Writes gold.recommendations, and gold.explanations for the
few users that the report shows, partition day. It then adds their versions to gold.decisions.
Candidates are the judged pairs of the user's last items, the nearest items to these by embedding (QARM V2, section 6:
triggers x neighbours), what generate found, and the most popular items. `[recommend] order` says how they are ordered.
From SPARK_FROM_ROWS candidates on, Spark's executors rank them.
"""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake import JobResult, Lake, UserError
from jobs.lake.arrow import distinct_strings
from jobs.lake.contracts import contracts
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.lake.rows import SPARK_FROM_ROWS
from jobs.lake.staging import Staging
from jobs.ranking.lists import count_active_users, find_active_users, load_sources
from jobs.ranking.rank_on_spark import rank_on_spark
from jobs.ranking.scoring import Scorer
from jobs.ranking.settings import SOURCES
from jobs.release.decisions import candidate_versions, load_decision, write_lists_versions
from jobs.release.model_store import load_card
from jobs.reporting.example_users import load_first_recommendations
from jobs.runtime.entry import main
from jobs.runtime.progress import progress, steps
from jobs.settings.tree import Settings
from models.ranker.lists import rank_candidates
from models.ranker.served import name_sources

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


def _write_lists(lake: Lake, settings: Settings, day: date, uri: str) -> JobResult:
    card = load_card(lake, uri)
    settings = card.apply_to(settings)
    n_users, scorer = count_active_users(lake, settings, day), None
    with Staging(lake) as staging:
        if n_users * settings.recommend.candidates < SPARK_FROM_ROWS:
            scorer = Scorer.load(lake, settings, day, uri)
            staging.replace(LISTS, _rank_in_process(lake, settings, scorer), day=day)
        else:
            steps()(f"ranking for {n_users:,} users on Spark's executors")
            staging.replace(LISTS, rank_on_spark(lake, settings, day, uri, n_users), day=day)
        n_rows = lake.query(f"SELECT count(*) AS n FROM {LISTS} WHERE day = :day", day=day)["n"][0].as_py()
        if n_users and not n_rows and "popular" not in settings.recommend.sources:
            names = ", ".join(settings.recommend.sources)
            raise UserError(
                f"none of {n_users} users has a candidate: [recommend] sources is {names}, and these found nothing"
                " that the users have not seen; add popular"
            )
    lake.replace(EXPLANATIONS, _explain_shown_items(lake, settings, day, uri, scorer), day=day)
    values = {"users": n_users, "items_per_user": n_rows / max(n_users, 1)}
    replace_metrics(lake, "recommend", day, metric_rows("ranker", "all", values))
    return JobResult(n_users, n_rows, notes={"model_version": card.model_version})


def _rank_in_process(lake: Lake, settings: Settings, scorer: Scorer) -> pa.Table:
    """The rows of gold.recommendations."""
    users = find_active_users(scorer.histories, settings, scorer.day)
    sources = load_sources(lake, settings, scorer.day, scorer.items, scorer.users)
    k, order = settings.recommend.k, settings.recommend.order
    ranked = rank_candidates(scorer, users, sources, k, order, progress("ranking for users"))
    user, rank, item, score, found_by = ranked
    columns = [scorer.users.take(pa.array(user)), rank, scorer.items.ids.take(pa.array(item)), score]
    columns += [name_sources(found_by, SOURCES), [scorer.model_version] * len(rank), [scorer.day] * len(rank)]
    contract = contracts()[LISTS]
    return pa.table(dict(zip(contract.names, columns, strict=True)), contract.arrow)


def _explain_shown_items(lake: Lake, settings: Settings, day: date, uri: str, scorer: Scorer | None) -> pa.Table:
    """Why the users that the report shows get their first items. scorer: with these users, if there is one already"""
    rows = load_first_recommendations(lake, day)
    if not rows:
        return contracts()[EXPLANATIONS].arrow.empty_table()
    user_ids, item_ids = (pa.array([row[name] for row in rows], pa.string()) for name in ("user_id", "item_id"))
    scorer = scorer or Scorer.load(lake, settings, day, uri, users=distinct_strings([user_ids]))
    user = pc.index_in(user_ids, scorer.users).to_numpy().astype(np.int64)
    explained = scorer.explain(user, scorer.items.index_of(item_ids))
    return pa.Table.from_pylist(explained, contracts()[EXPLANATIONS].arrow)


if __name__ == "__main__":
    main(run)
