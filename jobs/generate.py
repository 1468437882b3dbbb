"""Find items for every active user ahead of time, with the item graph and with a trained generator.

    python -m jobs.generate --day 2026-11-20
    python -m jobs.generate --day 2026-11-20 --query "red enamel mug"

Reads silver.histories, silver.events, silver.items, silver.item_ids and gold.metrics; for a trained preset also
gold.encoders, gold.item_embeddings, gold.codebooks, gold.semantic_ids and gold.releases. Writes gold.item_graph,
partition day: pairs of items that users acted on one after the other, for the day itself, days that are missing, and
days whose events changed. Trains the generator on the days before. If it finds at least as much as the graph and the
live generator, it is stored as `<LAKE>/models/<version>/generator` and lists its items, too. Otherwise, or on a day
that is too quiet to compare them, the live generator lists items, unless it finds less than the graph. Writes
gold.generated and gold.metrics (job generate), partition day: the training curve, and how many of the items that users
acted on for the first time today the lists of the day before hold. From SPARK_FROM_ROWS listed items on, Spark's
executors make the lists.

--query prints the best items for a text and writes no lists: see jobs/generation/query.py.
"""

import argparse
from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.generation import lists, pairs
from jobs.generation.behaviour import Behaviour
from jobs.generation.items import find_listed_items
from jobs.generation.language_model_folder import check_folder
from jobs.generation.lists_on_spark import list_on_spark
from jobs.generation.measure import measure_yesterdays_lists
from jobs.generation.query import answer_query
from jobs.generation.shards import TABLE
from jobs.generation.trained import GeneratorOfDay, make_generator
from jobs.lake import JobResult, Lake, arrow_dataset
from jobs.lake.arrow import distinct_strings
from jobs.lake.contracts import contracts
from jobs.lake.metrics import replace_metrics
from jobs.lake.rows import SPARK_FROM_ROWS
from jobs.lake.run_state import check_nothing_newer_is_replaced
from jobs.lake.staging import Staging
from jobs.ranking.user_sample import keep_sampled
from jobs.runtime.checkpoint import remove_checkpoints
from jobs.runtime.entry import main
from jobs.runtime.progress import steps
from jobs.settings.tree import Settings
from models.generator.finders import Scored, make_graph_finder, save_graph_finder
from models.generator.graph import Bools, ItemGraph


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    if settings.generator.is_language_model:
        check_folder(Path(settings.generator.language_model.model), "generator.language_model.model")
    report_step = steps()
    report_step("reading what users did")
    days = pairs.list_days(lake, day, settings.generator.graph_days)
    event_days = [past for past in lake.partition_days("silver.events") if past <= days[-1]]
    check_nothing_newer_is_replaced(lake, pairs.TABLE, days, event_days)
    users, visitors = _choose_users(lake, settings, day, days)
    behaviour = Behaviour.load(lake, settings, days[-1], users)
    for pairs_day in days:
        report_step(f"counting which items followed each other on {pairs_day}")
        pairs.write_pairs(lake, behaviour, pairs_day)
    graph = pairs.load_graph(lake, behaviour.items, day, settings.generator.graph_days)
    is_listed = find_listed_items(lake, behaviour.items)
    sources = {"graph": _make_graph_source(settings, day, graph, is_listed)}
    generator = GeneratorOfDay()
    if settings.generator.preset != "graph":
        report_step(f"training the generator {settings.generator.preset}")
        known = behaviour if days[-1] == day else Behaviour.load(lake, settings, day, users)
        generator = make_generator(lake, settings, day, known)
    if generator.source:
        sources["generator"] = generator.source
    report_step("making the lists")
    popular = lists.find_popular(settings, day, behaviour, is_listed)
    n_visitors = _write_lists(lake, settings, day, sources, behaviour, visitors, popular)
    replace_metrics(lake, "generate", day, measure_yesterdays_lists(lake, settings, day) + generator.metrics)
    remove_checkpoints(lake, "generate")
    written = arrow_dataset(lake.delta(TABLE)).count_rows(filter=ds.field("day") == day)
    return JobResult(n_visitors, written, notes={"days_counted": len(days)} | generator.notes)


def _choose_users(lake: Lake, settings: Settings, day: date, days: list[date]) -> tuple[pa.Array, pa.Array | None]:
    """The users that the graph and the generator learn from, and the visitors, who get lists.

    If the users are a sample, the visitors are None: they may be too many for memory. Otherwise they are among the
    users.

    days  whose pairs are counted
    """
    first = min(days[0], day - timedelta(days=max(settings.generator.train_days, settings.recommend.active_days)))
    where = (ds.field("day") >= first) & (ds.field("day") <= days[-1])
    batches = keep_sampled(settings.logs.user_share, lake.batches("silver.histories", ["user_id"], where))
    users = distinct_strings(batch["user_id"] for batch in batches)
    if settings.logs.user_share < 1:
        return users, None
    visitors = lists.find_visitors(lake, settings, day)
    return distinct_strings([users, visitors]), visitors


def _write_lists(
    lake: Lake,
    settings: Settings,
    day: date,
    sources: Mapping[str, lists.Source],
    behaviour: Behaviour,
    visitors: pa.Array | None,
    popular: Scored,
) -> int:
    """Write gold.generated, by Spark's executors if the rows are many. A language model stays in our own workers.

    visitors  IDs, whose behaviour is known. None: behaviour is that of a sample
    returns   the number of users who get lists
    """
    n_users = lists.count_visitors(lake, settings, day) if visitors is None else len(visitors)
    most_rows = n_users * settings.generator.k * len(sources)
    if most_rows >= SPARK_FROM_ROWS and not settings.generator.is_language_model:
        with Staging(lake) as staging:
            rows = list_on_spark(lake, settings, day, sources, behaviour.items.ids, popular, n_users)
            staging.replace(TABLE, rows, day=day)
        return n_users
    if visitors is None:
        visitors = lists.find_visitors(lake, settings, day)
        behaviour = Behaviour.load(lake, settings, day, visitors)
    shards = lists.plan_shards(lake, settings, day, sources, behaviour, visitors, popular)
    lists.make_in_workers(settings, shards, sources)
    parts = lists.make_lists(shards, sources)
    lake.replace(TABLE, pa.RecordBatchReader.from_batches(contracts()[TABLE].arrow, parts), day=day)
    return n_users


def _make_graph_source(settings: Settings, day: date, graph: ItemGraph, is_listed: Bools) -> lists.Source:
    matrix = graph.steps
    return lists.Source(
        version=lists.build_version(settings, day, "graph"),
        find_items=make_graph_finder(graph, is_listed),
        save=partial(save_graph_finder, graph, is_listed),
        inputs=[matrix.data, matrix.indices, matrix.indptr, is_listed],
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--query", help="print the best items for this text, by the generator that was live")


if __name__ == "__main__":
    main(run, add_arguments, query=answer_query)
