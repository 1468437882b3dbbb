"""Semantic IDs of behaviour: the vectors of each day, and IDs that stay although the vectors change."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from jobs import quantize
from jobs.codebooks.behaviour import TABLE
from jobs.codebooks.catalogue import choose_vectors, load_catalogue
from jobs.codebooks.settings import VectorKind
from jobs.encoders.tuned_encoders import base_encoder
from jobs.lake import Lake, UserError
from jobs.reporting.codebook_sections import BEHAVIOUR, codebook_quality
from jobs.reporting.metrics import load_metrics
from jobs.settings.tree import Settings
from tests.jobs.codebooks.made_vectors import put_vectors, read_ids, read_metrics, with_quantizer
from tests.jobs.lake_rows import DAY, moment, put, release_row

NEXT_DAY = DAY + timedelta(1)
USERS, GROUPS = 48, 6  # a user clicks items of one group. Items of a group have the texts of 4 of the 24 centres
both_kinds = pytest.mark.parametrize("kind", ["behaviour", "text_behaviour"])
Row = dict[str, Any]


def event(user: int, item: int, day: date, kind: str = "click", **more: Any) -> Row:
    return {
        "event_id": f"{user}-{item}-{kind}-{day}", "user_id": f"u{user}", "item_id": f"i{item:04}", "event": kind,
        "ts": moment(day), "landed_day": day, "day": day, **more,
    }  # fmt: skip


def draw_events(items: range, day: date) -> list[Row]:
    """Each user clicks half of the items of one group."""
    rng = np.random.default_rng(day.toordinal())
    pairs = [(user, item) for user in range(USERS) for item in items if user % GROUPS == item % GROUPS]
    return [event(*pair, day) for pair in pairs if rng.random() < 0.5]


def run_day(lake: Lake, settings: Settings, day: date, items: range, clicked: range) -> dict[str, Any]:
    """Add clicks of a day on the items `clicked`, make `items` the catalogue, and give IDs."""
    put(lake, "silver.events", [*lake.arrow("silver.events").to_pylist(), *draw_events(clicked, day)])
    put_vectors(lake, settings, items, day)
    return quantize.run(lake, settings, day).notes


def read_vectors(lake: Lake, day: date) -> dict[str, Any]:
    rows = lake.arrow(TABLE, where=ds.field("day") == day).to_pylist()
    return {row["item_id"]: np.array(row["vector"]) for row in rows}


def mean_cosine(some: dict[str, Any], others: dict[str, Any]) -> float:
    return float(np.mean([some[item] @ others[item] for item in some.keys() & others.keys()]))


def read_tables(lake: Lake) -> list[list[str]]:
    names = (TABLE, "gold.codebooks", "gold.semantic_ids", "gold.metrics")
    return [sorted(map(repr, lake.arrow(name).to_pylist())) for name in names]


@both_kinds
def test_on_the_second_day_ids_stay_and_every_new_item_gets_one(
    lake: Lake, settings: Settings, kind: VectorKind
) -> None:
    settings = with_quantizer(settings, vectors=kind)
    first = run_day(lake, settings, DAY, range(100), clicked=range(90))
    ids = read_ids(lake)
    assert first["codebook_version"].endswith(f"-8x4x16-{kind}")
    assert first["items_without_behaviour"] == 10
    second = run_day(lake, settings, NEXT_DAY, range(120), clicked=range(110))
    assert second == {"codebook_version": first["codebook_version"], "items_without_behaviour": 10}
    assert ids.items() < read_ids(lake).items()
    assert len(read_ids(lake)) == 120
    assert read_metrics(lake, NEXT_DAY, "all")["without_behaviour"] == pytest.approx(10 / 120)
    shown = {name: values for name, *values, _ in codebook_quality(load_metrics(lake, NEXT_DAY), NEXT_DAY)}
    assert shown[BEHAVIOUR[1]] == [pytest.approx(10 / 120), pytest.approx(10 / 100)]
    assert {item for _, item in read_ids(lake)} - read_vectors(lake, NEXT_DAY).keys() == {
        f"i{item:04}" for item in range(110, 120)
    }


@both_kinds
def test_items_that_the_same_users_click_share_the_first_code_and_so_do_new_items_with_such_texts(
    lake: Lake, settings: Settings, kind: VectorKind
) -> None:
    shares = []
    for vectors in ("text", kind):
        run_day(lake, with_quantizer(settings, vectors=vectors), DAY, range(120), clicked=range(96))
        put(lake, "silver.events", [])
        rows = lake.arrow("gold.semantic_ids").to_pylist()
        put(lake, "gold.semantic_ids", [])
        groups: dict[int, Counter[int]] = {}
        for row in rows:
            groups.setdefault(row["c1"], Counter()).update([int(row["item_id"][1:]) % GROUPS])
        shares.append(sum(max(counts.values()) for counts in groups.values()) / len(rows))
    assert shares[0] < 0.6 < 0.8 < shares[1]


def test_the_vectors_of_a_day_start_from_those_of_the_day_before(lake: Lake, settings: Settings) -> None:
    settings = with_quantizer(settings, vectors="behaviour")
    run_day(lake, settings, DAY, range(100), clicked=range(90))
    run_day(lake, settings, NEXT_DAY, range(100), clicked=range(100))
    first, warm = (read_vectors(lake, day) for day in (DAY, NEXT_DAY))
    assert mean_cosine(first, warm) > 0.9
    since = {row["item_id"]: row["since"] for row in lake.arrow(TABLE, where=ds.field("day") == NEXT_DAY).to_pylist()}
    assert since == {item: DAY if item in first else NEXT_DAY for item in warm}
    texts = load_catalogue(lake, base_encoder(settings).version, NEXT_DAY)
    catalogue = choose_vectors(lake, texts, "behaviour", NEXT_DAY)
    changed = np.array(catalogue.item_ids)[catalogue.embedded_on == np.datetime64(NEXT_DAY)]
    assert set(changed) == warm.keys() - first.keys()  # their IDs were given for other vectors
    lake.delete(TABLE, "day", pa.array([DAY]))
    quantize.run(lake, with_quantizer(settings, vectors="behaviour", seed=1), NEXT_DAY)
    assert mean_cosine(first, read_vectors(lake, NEXT_DAY)) < 0.5


def test_a_day_that_runs_late_has_vectors_on_the_axes_of_the_next_day(lake: Lake, settings: Settings) -> None:
    put(lake, "silver.events", draw_events(range(90), DAY))
    settings = with_quantizer(settings, vectors="behaviour")
    version = run_day(lake, settings, NEXT_DAY, range(100), clicked=range(100))["codebook_version"]
    later = read_vectors(lake, NEXT_DAY)
    put(lake, "gold.item_embeddings", [row | {"day": DAY} for row in lake.arrow("gold.item_embeddings").to_pylist()])
    assert (
        quantize.run(lake, with_quantizer(settings, vectors="behaviour", seed=1), DAY).notes["codebook_version"]
        == version
    )
    assert mean_cosine(later, read_vectors(lake, DAY)) > 0.8


def test_a_day_that_runs_again_leaves_every_table_as_it_is(lake: Lake, settings: Settings) -> None:
    settings = with_quantizer(settings, vectors="text_behaviour")
    run_day(lake, settings, DAY, range(100), clicked=range(90))
    run_day(lake, settings, NEXT_DAY, range(110), clicked=range(100))
    tables = read_tables(lake)
    for day in (NEXT_DAY, DAY, NEXT_DAY):
        assert quantize.run(lake, settings, day).rows_out == 0
        assert read_tables(lake) == tables
    lake.delete("gold.semantic_ids", "day", pa.array([NEXT_DAY]))  # as if the run had died after it wrote the vectors
    assert quantize.run(lake, settings, NEXT_DAY).rows_out == 10
    assert read_tables(lake) == tables


def test_only_what_known_users_liked_in_the_last_days_counts(lake: Lake, settings: Settings) -> None:
    settings = with_quantizer(settings, vectors="behaviour", behaviour_days=2)
    run_day(lake, settings, DAY, range(100), clicked=range(90))
    vectors = read_vectors(lake, DAY)
    events = lake.arrow("silver.events").to_pylist()
    more = [
        event(0, 99, NEXT_DAY), event(0, 98, DAY - timedelta(2)), event(0, 97, DAY, "impression"),
        event(0, 96, DAY, "rating", value=1.0), event(0, 95, DAY) | {"user_id": None},
        event(0, 94, DAY, "purchase"), event(0, 94, DAY, "cancel", ts=moment(DAY, 5)),
    ]  # fmt: skip
    put(lake, "silver.events", [*events, *more])
    quantize.run(lake, settings, DAY)
    again = read_vectors(lake, DAY)
    assert again.keys() == vectors.keys()
    assert all((again[item] == vectors[item]).all() for item in vectors)
    put(lake, "silver.events", [*events, event(0, 93, DAY - timedelta(1)), event(0, 92, DAY, "rating", value=5.0)])
    quantize.run(lake, settings, DAY)
    assert read_vectors(lake, DAY).keys() - vectors.keys() == {"i0092", "i0093"}


def test_codebooks_of_other_vectors_never_mix_and_text_needs_no_behaviour(lake: Lake, settings: Settings) -> None:
    kinds: tuple[VectorKind, ...] = ("text", "behaviour", "text_behaviour")
    versions = []
    for kind in kinds:
        kind_settings = with_quantizer(settings, vectors=kind)
        versions.append(run_day(lake, kind_settings, DAY, range(100), clicked=range(90))["codebook_version"])
        assert bool(lake.arrow(TABLE).num_rows) == (kind != "text")
        put(lake, "silver.events", [])
    assert len(set(versions)) == len(kinds)
    put(lake, "silver.events", draw_events(range(90), DAY))
    for kind, version in zip(kinds, versions, strict=True):
        again = quantize.run(lake, with_quantizer(settings, vectors=kind), NEXT_DAY)
        assert (again.notes["codebook_version"], again.rows_out) == (version, 0)


def test_a_refit_keeps_most_codes(lake: Lake, settings: Settings) -> None:
    settings = with_quantizer(settings, vectors="text_behaviour", refit_days=1)
    run_day(lake, settings, DAY, range(120), clicked=range(110))
    assert "refit_days" in run_day(lake, settings, NEXT_DAY, range(120), clicked=range(115))["refit"]
    assert read_metrics(lake, NEXT_DAY, "refit")["moved_c1"] < 0.2


@pytest.mark.parametrize(("live", "next_kind"), [("text", "behaviour"), ("text_behaviour", "text")])
def test_new_items_get_ids_of_the_live_codebook_also_if_it_has_other_vectors(
    lake: Lake, settings: Settings, live: VectorKind, next_kind: VectorKind
) -> None:
    live_settings = with_quantizer(settings, vectors=live)
    old = run_day(lake, live_settings, DAY, range(100), clicked=range(90))["codebook_version"]
    encoder = base_encoder(settings).version
    put(lake, "gold.releases", [release_row(1, DAY) | {"codebook_version": old, "encoder_version": encoder}])
    next_settings = with_quantizer(settings, vectors=next_kind)
    new = run_day(lake, next_settings, NEXT_DAY, range(101), clicked=range(100))["codebook_version"]
    assert new != old
    assert {(old, "i0100"), (new, "i0100")} <= read_ids(lake).keys()


def test_too_little_behaviour_ends_in_a_sentence_that_says_what_to_do(lake: Lake, settings: Settings) -> None:
    settings = with_quantizer(settings, vectors="behaviour")
    put_vectors(lake, settings, range(100), DAY)
    with pytest.raises(UserError, match=r"no known user clicked.*set \[quantizer\] vectors to text"):
        quantize.run(lake, settings, DAY)
    put(lake, "silver.events", [event(0, 1, DAY), event(0, 1000, DAY)])  # the second is not in silver.items
    with pytest.raises(UserError, match=r"fewer than two items have behaviour.*vectors to text"):
        quantize.run(lake, settings, DAY)
    put(lake, "silver.events", draw_events(range(90), DAY))
    quantize.run(lake, settings, DAY)
    rows = lake.arrow(TABLE).to_pylist()
    put(lake, TABLE, [rows[0] | {"vector": [float("nan")] * 64}, *rows[1:]])
    with pytest.raises(UserError, match=f"vector of {DAY} in {TABLE} .*restore"):
        quantize.run(lake, settings, NEXT_DAY)


def test_fewer_items_than_codes_get_ids_and_a_warning(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run_day(lake, with_quantizer(settings, vectors="text_behaviour"), DAY, range(10), clicked=range(8))
    assert len(read_ids(lake)) == 10
    assert "10 items are few for 16 codes per level" in capsys.readouterr().err
