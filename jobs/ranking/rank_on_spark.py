"""Rank for users on Spark's executors, for shops whose users are too many for one process."""

import tempfile
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.lake import Lake
from jobs.landing.cancels import register_cancelled
from jobs.ranking.event_log import first_shown_day
from jobs.ranking.items import load_item_features
from jobs.ranking.lists import first_active_day, load_sources
from jobs.ranking.model_inputs import reads_shown, search_vectors, searches_shown
from jobs.ranking.rates import SHOWN_BY, TAKEN_BY, load_totals
from jobs.ranking.settings import GENERATED, SOURCES
from jobs.ranking.users_on_spark import MapBatches, find_sent_folder, map_users, register_acted
from jobs.release.model_store import load_card, load_model
from jobs.runtime.executors import send_folder, send_with_tasks
from jobs.settings.tree import Settings
from models.ranker.served import Options, Served

COLUMNS = "user_id STRING, rank INT, item_id STRING, score DOUBLE, sources ARRAY<STRING>"
send_with_tasks(__name__)


def rank_on_spark(lake: Lake, settings: Settings, day: date, uri: str, n_users: int) -> DataFrame:
    """The rows of gold.recommendations for all active users. An executor holds the model and a batch of users.

    settings  with those of the model, see `ModelCard.apply_to`
    n_users   number of active users
    raises  UserError if the model is missing or damaged
    """
    served = _collect(lake, settings, day, uri)
    task = served.model.tasks[0]
    with tempfile.TemporaryDirectory() as folder:
        served.save(Path(folder))
        name = send_folder(lake.spark, Path(folder))
    register_acted(lake, settings, day, served.items)
    counts_from = day - timedelta(days=settings.logs.train_days - 1)
    register_cancelled(lake, counts_from, day, "cancelled_lately")
    users = lake.transform(
        "users_to_rank", day=day, active_from=first_active_day(settings, day), like_from=settings.logs.like_from,
        shown_from=first_shown_day(settings, day) if served.options.reads_shown else date.max,
        counts_from=counts_from, shown_event=SHOWN_BY[task], taken_event=TAKEN_BY[task],
        sources=[source for source in GENERATED if source in settings.recommend.sources] or [""],
    )  # fmt: skip
    map_users(lake, users, n_users, make_ranker(name), COLUMNS).createOrReplaceTempView("ranked")
    model = load_card(lake, uri).model_version
    return lake.sql("SELECT *, :model AS model_version, :day AS day FROM ranked", model=model, day=day)


def _collect(lake: Lake, settings: Settings, day: date, uri: str) -> Served:
    """The model, and what it needs beside the users, at the end of the day."""
    card, recommend = load_card(lake, uri), settings.recommend
    items = load_item_features(lake, settings, card.encoder_version, card.codebook_version)
    model = load_model(lake, uri, items).cpu()
    totals = load_totals(lake, settings, pa.array([], pa.string()), items, day, model.tasks[0])
    sources = load_sources(lake, settings, day, items)
    arrays = {
        "vectors": search_vectors(model, items).cpu().numpy(), "categories": items.categories.numpy(),
        "pair_offsets": sources.pairs.offsets, "pairs": sources.pairs.items,
        "neighbours": sources.neighbours.astype(np.int32), "popular": sources.popular,
        "shown": totals.shown.item, "taken": totals.taken.item,
    }  # fmt: skip
    options = Options(
        k=recommend.k, order=recommend.order, triggers=sources.triggers, count=sources.count,
        exclude_seen=sources.exclude_seen, generated=GENERATED, source_names=SOURCES,
        max_history=settings.ranker.max_history,
        moment=int(np.datetime64(day + timedelta(days=1), "us").astype(np.int64)),
        shown=int(totals.shown.everyone[0]), taken=int(totals.taken.everyone[0]),
        reads_shown=reads_shown(model.design), searches_shown=searches_shown(model.design),
    )  # fmt: skip
    return Served(model, items.ids, arrays, options)


def make_ranker(name: str) -> MapBatches:
    """A function for `mapInArrow`: batches of users, as `Served.rank` reads them, to batches of their lists.

    name  of the folder that was sent to the executors
    """

    def rank(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        from models.ranker.served import load_served  # on the executor

        for batch in batches:
            if batch.num_rows:
                yield load_served(find_sent_folder(name)).rank(batch)

    return rank
