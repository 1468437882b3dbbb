"""The SQL shell: the statements it reads, the tables and views it knows, and its answers."""

import io
import sys
from datetime import timedelta

import pytest

from jobs.lake import Lake, UserError
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.lake.shell import _read_statements, answer, register
from tests.jobs.lake_rows import DAY, moment, put, put_catalogue, release_row


def test_views_read_the_tables_of_this_lake(lake: Lake) -> None:
    put_catalogue(lake, {"i1": "blue kettle", "i2": "red teapot"})
    put(lake, "gold.releases", [release_row(1, DAY - timedelta(1)), release_row(2, DAY)])
    put(lake, "silver.events", [
        {"event_id": f"e{n}", "user_id": "u1", "item_id": "i1", "event": event, "ts": moment(DAY, n),
         "landed_day": DAY, "day": DAY}
        for n, event in enumerate(["impression", "impression", "click"])
    ])  # fmt: skip
    put(lake, "gold.recommendations", [
        {"user_id": "u1", "rank": 1, "item_id": item, "score": 0.5, "model_version": model, "day": DAY}
        for model, item in (("m1", "i1"), ("m2", "i2"))
    ])  # fmt: skip
    spark = lake.spark
    names = register(spark, lake)
    assert {"gold.semantic_ids", "gold.items_of_sid", "gold.latest_metrics"} <= set(names)
    assert [row.model_version for row in spark.sql("SELECT * FROM gold.live_release").collect()] == ["m2"]
    (funnel,) = spark.sql("SELECT * FROM gold.day_funnel").collect()
    assert (funnel.impressions, funnel.clicks, funnel.ctr) == (2, 1, 0.5)
    assert [row.title for row in spark.sql("SELECT * FROM gold.live_recommendations").collect()] == ["red teapot"]
    put(lake, "gold.releases", [
        release_row(1, DAY - timedelta(1)) | {"generator_uri": "models/g1/generator"},
        release_row(2, DAY) | {"model_version": "m1", "generator_uri": "models/g2/generator"},
        release_row(3, DAY, "rollback") | {"model_version": "m1", "generator_uri": "models/g1/generator"},
    ])  # fmt: skip
    put(lake, "gold.recommendations", [
        {"user_id": "u1", "rank": 1, "item_id": item, "score": 0.5, "model_version": "m1", "day": day}
        for day, item in ((DAY - timedelta(1), "i1"), (DAY, "i2"))
    ])  # fmt: skip
    register(spark, lake)
    assert [row.title for row in spark.sql("SELECT * FROM gold.live_recommendations").collect()] == ["blue kettle"]
    replace_metrics(lake, "quantize", DAY, metric_rows("codebook", "all", {"collision_rate": 0.1, "hr_at_1": 0.9},
                                                     rows=7, version="cb1"))  # fmt: skip
    (health,) = spark.sql("SELECT * FROM gold.sid_health").collect()
    assert (health.codebook_version, health["items"], health.collision_rate) == ("cb1", 7, 0.1)
    titles = spark.sql("SELECT title FROM gold.items_of_sid ORDER BY title").collect()
    assert [row.title for row in titles] == ["blue kettle", "red teapot"]


def test_items_are_found_by_prefix_and_neighbours_by_shared_prefix(lake: Lake) -> None:
    codes = {"i1": (1, 2, 7), "i2": (1, 2, 7), "i3": (1, 2, 6), "i4": (1, 2, 0), "i5": (1, 3, 7), "i6": (2, 2, 7)}
    put_catalogue(lake, dict.fromkeys(codes, "a kettle"), codes=codes)
    put(lake, "gold.releases", [release_row(1, DAY)])
    register(lake.spark, lake)
    neighbours = lake.spark.sql("SELECT * FROM gold.sid_neighbours WHERE item_id = 'i1' ORDER BY rank").collect()
    assert [(row.neighbour_id, row.shared_levels, row.other_bits) for row in neighbours] == [
        ("i2", 3, 0), ("i3", 2, 1), ("i4", 2, 3), ("i5", 1, None)
    ]  # fmt: skip
    tree = lake.spark.sql("SELECT prefix, items, titles FROM gold.sid_tree WHERE levels <= 2 ORDER BY prefix")
    assert [(row.prefix, row.items) for row in tree.collect()] == [
        ("<a_1>", 5), ("<a_1><b_2>", 4), ("<a_1><b_3>", 1), ("<a_2>", 1), ("<a_2><b_2>", 1)
    ]  # fmt: skip
    ids = lake.spark.sql("SELECT unique_sid FROM gold.items_of_sid WHERE sid = '<a_1><b_2><c_7>' ORDER BY item_id")
    assert [row.unique_sid for row in ids.collect()] == ["<a_1><b_2><c_7><d_0>", "<a_1><b_2><c_7><d_1>"]


def test_an_answer_is_aligned_with_numbers_to_the_right(lake: Lake) -> None:
    text = answer(lake.spark, "SELECT * FROM VALUES ('a', 1), ('long', 100) AS t(name, n) ORDER BY n")
    assert text.splitlines() == ["name    n", "----  ---", "a       1", "long  100", "(2 rows)"]


@pytest.mark.parametrize("wrong", ["SELEC 1", "SELECT * FROM gold.nowhere", "SELECT 1 / 0"])
def test_the_error_of_a_wrong_statement_is_one_line(lake: Lake, wrong: str) -> None:
    with pytest.raises(UserError) as error:
        answer(lake.spark, wrong)
    assert "\n" not in str(error.value)
    assert "SQLSTATE" not in str(error.value)


def test_statements_from_a_pipe_may_end_without_a_semicolon_or_in_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(text: str) -> list[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return list(_read_statements())

    assert read("SELECT\n1; SELECT ';'") == ["SELECT\n1", "SELECT ';'"]
    assert read("SELECT 1;\n-- done;\n") == ["SELECT 1"]
    assert read("SELECT 1;\nquit\nSELECT 2;") == ["SELECT 1"]
    (unfinished,) = read("SELECT 'open\n")
    assert unfinished.startswith("SELECT 'open")
