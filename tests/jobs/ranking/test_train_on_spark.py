"""Spark's executors train the model that one process trains."""

import os
import signal
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyspark.errors import PySparkException

from jobs.lake import Lake, UserError
from jobs.ranking.settings import Ranker as RankerSettings
from jobs.ranking.train_on_spark import train_on_spark
from jobs.runtime.entry import error_sentence
from models.ranker import Design, fit
from tests.jobs.lake_rows import DAY
from tests.models.ranker.designs import EVERYTHING, build_ranker, build_rows, make_log

OPTIONS: dict[str, Any] = {"batch_size": 29, "lr": 1e-2, "valid_share": 0.2, "patience": 9}
SETTINGS = RankerSettings(epochs=2, batch=29, lr=1e-2, valid_share=0.2, patience=9, spark_parts=2)


@pytest.mark.parametrize(("design", "is_warm"), [(EVERYTHING, False), (Design("latest", k=8), True)])
def test_executors_that_hold_parts_of_the_rows_train_the_model_of_one_process(
    lake: Lake, design: Design, is_warm: bool
) -> None:
    rows = build_rows(design, make_log())
    rows.labels[::5] = np.nan
    start = build_ranker(design, dropout=0, id_dropout=0)
    if is_warm:
        fit(start, rows, seed=1, epochs=1, **OPTIONS)
    models = [deepcopy(start) for _ in range(2)]
    alone = fit(models[0], rows, seed=0, epochs=2, **OPTIONS)
    together = train_on_spark(lake, models[1], rows, SETTINGS, "challenger", DAY)
    assert not models[1].training
    assert [point.epoch for point in together] == [0, 1, 2][not is_warm :]
    for a, b in zip(alone, together, strict=True):
        assert asdict(a) == pytest.approx(asdict(b), rel=1e-3, nan_ok=True)
    for name, value in models[0].state_dict().items():
        assert torch.allclose(value.float(), models[1].state_dict()[name].float(), atol=1e-3), name
    assert not list((Path(lake.root) / "models/unfinished").rglob("*.parquet"))


def test_a_training_that_diverges_on_executors_says_what_to_do(lake: Lake) -> None:
    design = Design("latest", k=8)
    settings = SETTINGS.model_copy(update={"lr": 1e30})
    with pytest.raises(UserError, match=r"training din diverged .*: lower ranker.lr"):
        train_on_spark(lake, build_ranker(design), build_rows(design, make_log()), settings, "din", DAY)


def test_a_process_of_an_executor_that_dies_is_named(lake: Lake) -> None:
    def die(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield from batches

    with pytest.raises(PySparkException) as caught:
        lake.spark.range(1).mapInArrow(die, "id BIGINT").toArrow()
    assert "a Python process of Spark's executors died" in error_sentence(caught.value)
