"""Made-up rows for tests of how metrics, releases and items are shown. No model computes them."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pyspark.sql import DataFrame

from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.lake.staging import Staging
from jobs.landing.histories import stage_histories
from jobs.release.model_store import ModelCard
from jobs.settings.tree import load_settings
from models.quantizers import format_sids
from models.quantizers.twins import number_twins

DAY = date(2026, 11, 20)


def put(lake: Lake, table: str, rows: list[dict[str, Any]]) -> None:
    """Replace a whole table, with silver.events also the tables that ingest makes of it."""
    lake.replace(table, pa.Table.from_pylist(rows, contracts()[table].arrow))
    if table == "silver.events":
        put_histories(lake)


def put_histories(lake: Lake) -> None:
    """Make silver.histories and silver.item_ids of silver.events."""
    lake.replace("silver.item_ids", lake.query("SELECT DISTINCT item_id FROM silver.events"))
    lake.replace("silver.histories", contracts()["silver.histories"].arrow.empty_table())
    with Staging(lake) as staging:
        stage_histories(lake, staging, sorted(lake.partition_days("silver.events")), DAY)


def rows_of(answer: pa.Table | DataFrame) -> list[tuple[Any, ...]]:
    """The rows that DuckDB or Spark answered."""
    rows = answer if isinstance(answer, pa.Table) else answer.toArrow()
    return [tuple(row.values()) for row in rows.to_pylist()]


def moment(day: date, second: int = 0) -> datetime:
    """A second of a day, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=second)


def put_metrics(lake: Lake, day: date, champion: bool = True, seed: int = 0) -> None:
    """Write metrics of all jobs of a run."""
    rng = np.random.default_rng(seed)
    rows = []
    for kind, count in (("events", 20_000 + int(rng.integers(4000))), ("items", 400)):
        rejected, duplicate = int(rng.integers(count // 50)), int(rng.integers(count // 20))
        fates = {"rows_in": count, "rows_out": count - rejected - duplicate}
        fates |= {"rows_rejected": rejected, "rows_duplicate": duplicate}
        rows += metric_rows("rows", kind, fates)
    rows += metric_rows("rows", "events", {"reject:event is not known": 7})
    rows += metric_rows("checks", "silver.events", {"item_id is never null": 1, "price is at least 0": 0})
    replace_metrics(lake, "ingest", day, rows)
    replace_metrics(lake, "embed", day, metric_rows("encoder", "all", {"items_embedded": 380, "seconds": 12.5}))
    health = {"collision_rate": 0.12 + 0.01 * rng.random(), "unique_share": 0.9}
    for level, size in ((1, 64), (2, 64), (3, 256)):
        health |= {f"used_codes_{level}": size - 3, f"dead_codes_{level}": 3}
        health[f"perplexity_{level}"] = size * 0.7
    rows = metric_rows("codebook", "all", health, version="cb1") + metric_rows(
        "codebook", "new_items", {"collision_rate": 0.2}, version="cb1"
    )
    replace_metrics(lake, "quantize", day, rows)
    rows = [
        row
        for model in ("challenger", "din")
        for epoch in range(1, 6)
        for row in metric_rows(
            model, f"epoch_{epoch}", {"train_loss": 0.7 / epoch**0.2, "valid_auc": 0.7 - 0.1 / epoch}
        )
    ]
    rows += metric_rows("challenger", "design", {"search: item_embedding": 1.0, "k: 50": 1.0})
    replace_metrics(lake, "train", day, rows)
    replace_metrics(lake, "evaluate", day, _evaluation_rows(rng, champion))
    folder = Path(lake.root) / "models/challenger-1/challenger"
    folder.mkdir(parents=True, exist_ok=True)
    card = ModelCard.from_settings(load_settings(), "challenger-1", "e1", "cb1", str(day))
    (folder / "card.json").write_text(json.dumps(asdict(card)))


def _evaluation_rows(rng: np.random.Generator, champion: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for model in ("challenger", "din", *(["champion"] if champion else [])):
        for slice_ in ("all", "as_served", "cold_items", "known_items", "history_0", "history_1_9", "history_10_99"):
            auc = float("nan") if slice_ == "history_0" else 0.68 + 0.03 * rng.random()
            values = {"auc": auc, "uauc": auc - 0.02, "gauc": auc - 0.01, "log_loss": 0.41}
            values["calibration"] = 1.02
            intervals = {"auc": (auc - 0.012, auc + 0.011)}
            rows += metric_rows(model, slice_, values, intervals=intervals, rows=5000, version=f"{model}-1")
    if champion:
        intervals = {"auc": (0.001, 0.007)}
        for slice_ in ("all", "as_served"):
            rows += metric_rows(
                "challenger_minus_champion", slice_, {"auc": 0.004, "log_loss": 0.0}, intervals=intervals, rows=5000
            )
    return rows


def run_row(job: str, day: date, second: int = 0, **values: Any) -> dict[str, Any]:
    return {
        "run_id": f"{job}{second}", "job": job, "day": day, "started_at": moment(day, second),
        "seconds": 12.34, "startup_seconds": 3.21, "inputs": [], "outputs": [],
        "settings_hash": "abc", "code_commit": None, "rows_in": 100, "rows_out": 90,
        "rows_rejected": 6, "rows_duplicate": 4, **values,
    }  # fmt: skip


def release_row(number: int, day: date, kind: str = "promote", reason: str = "AUC 0.71 beats 0.70") -> dict[str, Any]:
    return {
        "release": number, "kind": kind, "model_version": f"m{number}", "model_uri": f"models/m{number}",
        "codebook_version": "cb1", "encoder_version": "e1",
        "tables": [("silver.events", 3), ("gold.semantic_ids", 2)], "reason": reason,
        "run_id": "r", "day": day,
    }  # fmt: skip


def put_catalogue(
    lake: Lake, titles: Mapping[str, str | None], day: date = DAY, codes: dict[str, tuple[int, int, int]] | None = None
) -> None:
    """Write items with semantic IDs of codebook `cb1`: the given `codes`, or random ones."""
    rng = np.random.default_rng(0)
    items = [
        {"item_id": item, "title": title, "text": title or item, "content_hash": item, "file": "items.jsonl",
         "line": line, "day": day}
        for line, (item, title) in enumerate(titles.items(), start=1)
    ]  # fmt: skip
    put(lake, "silver.items", items)
    random_codes = (rng.zipf(1.6, size=(len(items), 3)) - 1) % np.array([61, 61, 253])
    item_codes = np.array(list(codes.values()), np.int64) if codes else random_codes
    twins = number_twins(item_codes, item_codes[:0], item_codes[:0, 0])
    sids = format_sids(torch.from_numpy(item_codes))
    put(
        lake, "gold.semantic_ids",
        [
            {"item_id": item["item_id"], "codebook_version": "cb1", "c1": int(a), "c2": int(b), "c3": int(c),
             "sid": sid, "twin": twin, "unique_sid": f"{sid}<d_{twin}>", "day": day}
            for item, (a, b, c), sid, twin in zip(items, item_codes, sids, twins, strict=True)
        ],
    )  # fmt: skip
