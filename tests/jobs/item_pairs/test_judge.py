"""The judge: its verdicts, and that it is asked once about a pair."""

import shutil
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import write_deltalake

from jobs import judge
from jobs.encoders.location import encoder_version
from jobs.encoders.vectors import vectors_column
from jobs.item_pairs.similarity_judge import load_similarity_judge
from jobs.item_pairs.verdicts import Judge, Pair, Verdict
from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.settings.tree import Settings

DAY, BEFORE = date(2026, 11, 20), date(2026, 11, 19)
CATALOGUE = {  # item -> broadest category, angle of its unit vector in degrees
    "blush": ("Makeup", 0), "powder": ("Makeup", 65), "rouge": ("Makeup", 90),
    "brush": ("Tools", 40), "comb": ("Tools", 65), "thing": (None, 10),
}  # fmt: skip
PAIRS = contracts()["silver.item_pairs"].arrow


def catalogue(lake: Lake, settings: Settings, items: Iterable[str] = CATALOGUE) -> None:
    rows = [
        {"item_id": item, "category": [c for c in [CATALOGUE[item][0]] if c], "text": item,
         "content_hash": item, "file": "items", "line": 1, "day": DAY} for item in items
    ]  # fmt: skip
    lake.replace("silver.items", pa.Table.from_pylist(rows, contracts()["silver.items"].arrow))
    angles = np.radians([CATALOGUE[item][1] for item in items])
    version = encoder_version(settings.encoder)
    columns = {
        "item_id": list(items),
        "encoder_version": [version] * len(angles),
        "content_hash": list(items),
        "vector": vectors_column(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)),
        "day": [DAY] * len(angles),
    }
    lake.replace("gold.item_embeddings", pa.table(columns, contracts()["gold.item_embeddings"].arrow))


def put(lake: Lake, pairs: Iterable[Pair], day: date = DAY, sources: tuple[str, ...] = ("swing",)) -> None:
    rows = [
        {"item_a": a, "item_b": b, "source": source, "score": 1.0, "day": day} for a, b in pairs for source in sources
    ]
    lake.replace("silver.item_pairs", pa.Table.from_pylist(rows, PAIRS), day=day)


def judged_rows(lake: Lake, day: date = DAY) -> dict[Pair, dict[str, Any]]:
    rows = lake.arrow("silver.item_pairs").to_pylist()
    return {(row["item_a"], row["item_b"]): row for row in rows if row["day"] == day}


class Recorder:
    """A judge that remembers what it was asked."""

    def __init__(self, version: str, verdict: str = "yes") -> None:
        self.version, self.verdict, self.asked = version, verdict, list[Pair]()

    def judge(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Verdict]]:
        for pair in reversed(pairs):
            self.asked.append(pair)
            yield pair, Verdict(self.verdict, "because", 0.5)


def judge_day(lake: Lake, default: Judge, day: date = DAY, **by_source: Judge) -> dict[str, Any]:
    rows = lake.arrow("silver.item_pairs", where=ds.field("day") == day)
    judges = dict.fromkeys(rows["source"].to_pylist(), default) | by_source
    return judge.judge_pairs(lake, judges, day).notes


@pytest.mark.parametrize(
    ("pair", "verdict", "reason"),
    [
        (("blush", "brush"), "yes", "cosine 0.77, in Makeup and Tools"),
        (("blush", "powder"), "yes", "cosine 0.42, both in Makeup"),
        (("blush", "comb"), "no", "cosine 0.42, in Makeup and Tools"),
        (("blush", "rouge"), "no", "cosine 0.00, both in Makeup"),
        (("blush", "thing"), "yes", "cosine 0.98, category unknown"),
        (("blush", "ghost"), "unsure", "no embedding of ghost"),
    ],
)
def test_similar_items_belong_together_and_less_similar_ones_within_a_category(
    lake: Lake, settings: Settings, pair: Pair, verdict: str, reason: str
) -> None:
    catalogue(lake, settings)
    put(lake, [pair])
    judge.run(lake, settings, DAY)
    assert (judged_rows(lake)[pair]["verdict"], judged_rows(lake)[pair]["reason"]) == (verdict, reason)


def test_the_version_names_thresholds_and_encoder(lake: Lake, settings: Settings) -> None:
    catalogue(lake, settings)
    version = load_similarity_judge(lake, settings).version
    assert version == f"similarity-0.5-0.3-{encoder_version(settings.encoder)}"


def test_a_pair_is_never_asked_twice(lake: Lake) -> None:
    put(lake, [("a", "b"), ("c", "d")])
    first, second = Recorder("one"), Recorder("one", "no")
    assert judge_day(lake, first)["asked"] == 2
    notes = judge_day(lake, second)
    assert (notes["asked"], notes["carried"], notes["skipped"]) == (0, 2, "every pair has its verdict")
    assert second.asked == []
    assert judged_rows(lake)["a", "b"]["verdict"] == "yes"


def test_a_verdict_of_another_day_is_carried_over(lake: Lake) -> None:
    put(lake, [("a", "b")], BEFORE)
    judge_day(lake, Recorder("one", "no"), BEFORE)
    put(lake, [("a", "b"), ("c", "d")])
    today = Recorder("one")
    judge_day(lake, today)
    assert today.asked == [("c", "d")]
    assert judged_rows(lake)["a", "b"]["verdict"] == "no"


def test_another_judge_is_asked_again(lake: Lake) -> None:
    put(lake, [("a", "b")])
    judge_day(lake, Recorder("one"))
    judge_day(lake, Recorder("two", "no"))
    assert (judged_rows(lake)["a", "b"]["verdict"], judged_rows(lake)["a", "b"]["judge_version"]) == ("no", "two")


def test_a_pair_whose_answer_could_not_be_read_is_not_asked_again(lake: Lake) -> None:
    put(lake, [("a", "b")])
    judge_day(lake, Recorder("one", "unsure"))
    again = Recorder("one", "yes")
    assert judge_day(lake, again)["unsure"] == {"swing": 1}
    assert again.asked == []


def test_a_judge_that_leaves_out_a_pair_is_an_error_and_changes_no_pair(lake: Lake) -> None:
    class Forgetful(Recorder):
        def judge(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Verdict]]:
            return super().judge(pairs[1:])

    put(lake, [("a", "b"), ("c", "d")])
    with pytest.raises(RuntimeError, match="left out pairs from swing"):
        judge_day(lake, Forgetful("one"))
    assert [row["verdict"] for row in judged_rows(lake).values()] == [None, None]
    assert judge_day(lake, Recorder("one"))["asked"] == 1  # what it said is kept


def test_reason_version_and_seconds_are_stored_with_the_verdict(lake: Lake) -> None:
    put(lake, [("a", "b")])
    judge_day(lake, Recorder("one"))
    row = judged_rows(lake)["a", "b"]
    said = tuple(row[name] for name in ("verdict", "reason", "judge_version", "judge_seconds"))
    assert said == ("yes", "because", "one", 0.5)


def test_a_pair_without_embedding_is_asked_again_when_its_item_is_known(lake: Lake, settings: Settings) -> None:
    catalogue(lake, settings, ["blush"])
    put(lake, [("blush", "brush")])
    judge.run(lake, settings, DAY)
    catalogue(lake, settings)
    assert judge.run(lake, settings, DAY).notes["asked"] == 1
    assert judged_rows(lake)["blush", "brush"]["verdict"] == "yes"


def test_a_pair_from_two_sources_is_asked_once(lake: Lake) -> None:
    put(lake, [("a", "b")], sources=("swing", "two_tower"))
    recorder = Recorder("one", "no")
    assert judge_day(lake, recorder)["dropped"] == {"swing": 1.0, "two_tower": 1.0}
    assert recorder.asked == [("a", "b")]


def test_each_source_has_its_own_judge(lake: Lake) -> None:
    put(lake, [("a", "b")], sources=("swing", "two_tower"))
    small, large = Recorder("small", "no"), Recorder("large")
    assert judge_day(lake, small, two_tower=large)["dropped"] == {"swing": 1.0, "two_tower": 0.0}
    assert small.asked == large.asked == [("a", "b")]


def test_verdicts_from_before_an_error_of_the_judge_are_kept(lake: Lake) -> None:
    put(lake, [("a", "b"), ("c", "d"), ("e", "f")])

    class Breaking(Recorder):
        def judge(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Verdict]]:
            yield from super().judge(pairs[:2])
            raise ConnectionError

    with pytest.raises(ConnectionError):
        judge_day(lake, Breaking("one"))
    after = Recorder("one")
    judge_day(lake, after)
    assert after.asked == [("e", "f")]
    assert len(judged_rows(lake)) == 3


def test_an_older_lake_gets_the_new_columns(lake: Lake) -> None:
    put(lake, [("a", "b")])
    older = lake.arrow("silver.item_pairs").drop_columns(["judge_seconds"])
    path = lake.path("silver.item_pairs")
    shutil.rmtree(path)
    write_deltalake(path, older, partition_by=["day"])
    lake.create()
    judge_day(lake, Recorder("one"))
    assert judged_rows(lake)["a", "b"]["judge_seconds"] == 0.5


def test_other_days_do_not_change(lake: Lake) -> None:
    put(lake, [("a", "b")], BEFORE)
    put(lake, [("a", "b")])
    judge_day(lake, Recorder("one"))
    assert judged_rows(lake, BEFORE)["a", "b"]["verdict"] is None


def test_a_day_without_pairs_is_a_success(lake: Lake, settings: Settings) -> None:
    assert judge.run(lake, settings, DAY).rows_out == 0
