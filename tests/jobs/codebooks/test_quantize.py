"""Semantic IDs from day to day: a published ID stays, and a refit keeps the old codes."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs import quantize
from jobs.encoders.tuned_encoders import base_encoder
from jobs.lake import Lake
from jobs.settings.tree import Settings
from models.quantizers import ResKmeansFSQ
from tests.jobs.codebooks.made_vectors import put_vectors, read_ids, read_metrics, with_quantizer
from tests.jobs.lake_rows import DAY, put, release_row


def test_no_published_id_moves_and_refits_come_on_their_days(lake: Lake, settings: Settings) -> None:
    settings = with_quantizer(settings, refit_days=2)
    published: dict[tuple[str, str], str] = {}
    versions = []
    for number in range(6):
        day = DAY + timedelta(number)
        put_vectors(lake, settings, range(8 * number, 300 + 8 * number), day)
        versions.append(quantize.run(lake, settings, day).notes["codebook_version"])
        ids = read_ids(lake)
        assert published.items() <= ids.items()
        of_version = [sid for (version, _), sid in ids.items() if version == versions[-1]]
        assert len(set(of_version)) == len(of_version)
        published = ids
    fit_days = [DAY + timedelta(n) for n in (0, 2, 4)]
    assert sorted({version[:10] for version in versions}) == [str(day) for day in fit_days]
    for day in fit_days[1:]:
        refit = read_metrics(lake, day, "refit")
        assert 0 <= refit["moved_c1"] <= refit["moved_c1c2"] <= refit["moved_id"] < 0.4  # 0.6 without kept digits
    assert not read_metrics(lake, DAY + timedelta(1), "refit")


def test_a_rerun_changes_nothing_and_an_older_day_uses_its_own_codebook(lake: Lake, settings: Settings) -> None:
    settings = with_quantizer(settings, refit_days=1)
    put_vectors(lake, settings, range(200), DAY)
    first = quantize.run(lake, settings, DAY).notes["codebook_version"]
    second = quantize.run(lake, settings, DAY + timedelta(1))
    assert "refit_days" in second.notes["refit"]
    before, moved = read_ids(lake), read_metrics(lake, DAY + timedelta(1), "refit")
    for day, version in ((1, second.notes["codebook_version"]), (0, first)):
        again = quantize.run(lake, settings, DAY + timedelta(day))
        assert (again.notes, again.rows_out) == ({"codebook_version": version}, 0)
    assert read_ids(lake) == before
    assert read_metrics(lake, DAY + timedelta(1), "refit") == moved


def test_an_older_day_that_runs_again_leaves_every_codebook_and_id_as_they_are(lake: Lake, settings: Settings) -> None:
    strict = with_quantizer(settings, min_new_items=50)
    put_vectors(lake, strict, range(200), DAY)
    quantize.run(lake, strict, DAY)
    put_vectors(lake, strict, range(260), DAY + timedelta(1), shift=9.0)
    assert "refit" in quantize.run(lake, strict, DAY + timedelta(1)).notes
    tables = [lake.arrow(name).to_pylist() for name in ("gold.codebooks", "gold.semantic_ids")]
    new_items = read_metrics(lake, DAY + timedelta(1), "new_items")
    for day in (DAY - timedelta(1), DAY, DAY + timedelta(1)):
        again = quantize.run(lake, strict, day)
        assert ("refit" in again.notes, again.rows_out) == (False, 0)
        assert [lake.arrow(name).to_pylist() for name in ("gold.codebooks", "gold.semantic_ids")] == tables
    assert read_metrics(lake, DAY + timedelta(1), "new_items") == new_items


@pytest.mark.parametrize("parts", [0, 2])
def test_an_older_day_that_runs_again_gives_no_ids_to_items_of_later_days(
    lake: Lake, settings: Settings, parts: int
) -> None:
    settings = with_quantizer(settings, spark_parts=parts)
    put_vectors(lake, settings, range(200), DAY)
    quantize.run(lake, settings, DAY)
    health = read_metrics(lake, DAY, "all")
    put_vectors(lake, settings, range(230), DAY + timedelta(1))
    assert quantize.run(lake, settings, DAY).rows_out == 0
    assert read_metrics(lake, DAY, "all") == health
    assert quantize.run(lake, settings, DAY + timedelta(1)).rows_out == 30


def test_a_refit_whose_codes_come_out_in_another_order_is_published_in_the_old_order(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, settings = ResKmeansFSQ.fit, with_quantizer(settings, refit_days=1, seed=1)

    def fit_in_reverse(*args: Any, **options: Any) -> ResKmeansFSQ:
        codebook = fit(*args, **options)
        numbers = [torch.arange(len(level)).flip(0) for level in codebook.centroids]
        return codebook.renumber(numbers, [3, 2, 1, 0], [True] * 4)

    put_vectors(lake, settings, range(200), DAY)
    quantize.run(lake, settings, DAY)
    monkeypatch.setattr(ResKmeansFSQ, "fit", fit_in_reverse)
    put_vectors(lake, settings, range(5, 205), DAY + timedelta(1))
    quantize.run(lake, settings, DAY + timedelta(1))
    assert read_metrics(lake, DAY + timedelta(1), "refit")["moved_id"] < 0.4


def test_until_a_release_switches_new_items_get_ids_of_both_codebooks(lake: Lake, settings: Settings) -> None:
    settings, encoder = with_quantizer(settings, refit_days=1), base_encoder(settings).version
    put_vectors(lake, settings, range(200), DAY)
    old = quantize.run(lake, settings, DAY).notes["codebook_version"]
    put(lake, "gold.releases", [release_row(1, DAY) | {"codebook_version": old, "encoder_version": encoder}])
    for number in (1, 2):
        put_vectors(lake, settings, range(200 + number), DAY + timedelta(number))
        new = quantize.run(lake, settings, DAY + timedelta(number)).notes["codebook_version"]
        assert new != old
        assert {(old, f"i{199 + number:04}"), (new, f"i{199 + number:04}")} <= read_ids(lake).keys()


def test_a_fit_in_two_processes_gives_the_ids_of_one(lake: Lake, settings: Settings) -> None:
    ids = []
    for workers in (1, 2):
        put(lake, "gold.semantic_ids", [])
        put(lake, "gold.codebooks", [])
        for number in (0, 1):  # the second day refits
            put_vectors(lake, settings, range(5 * number, 200), DAY + timedelta(number))
            quantize.run(lake, with_quantizer(settings, refit_days=1, workers=workers), DAY + timedelta(number))
        ids.append(read_ids(lake))
    assert ids[0] == ids[1]
    assert len({version for version, _ in ids[0]}) == 2


class StopError(Exception):
    pass


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_run_that_died_between_its_writes_ends_in_the_same_tables_once_rerun(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, writes: int
) -> None:
    settings, next_day = with_quantizer(settings, refit_days=1), DAY + timedelta(1)
    undisturbed = Lake(tmp_path / "undisturbed")
    undisturbed.create()
    for either in (lake, undisturbed):
        put_vectors(either, settings, range(150), DAY)
        quantize.run(either, settings, DAY)
        put_vectors(either, settings, range(20, 170), next_day)
    quantize.run(undisturbed, settings, next_day)
    replace, writes_left = Lake.replace, writes

    def replace_and_stop(self: Lake, *args: Any, **partition: Any) -> int:
        nonlocal writes_left
        if not writes_left:
            raise StopError
        writes_left -= 1
        return replace(self, *args, **partition)

    monkeypatch.setattr(Lake, "replace", replace_and_stop)
    with pytest.raises(StopError):
        quantize.run(lake, settings, next_day)
    monkeypatch.setattr(Lake, "replace", replace)
    quantize.run(lake, settings, next_day)
    assert read_ids(lake) == read_ids(undisturbed)
    assert read_metrics(lake, next_day, "all") == read_metrics(undisturbed, next_day, "all")
    assert read_metrics(lake, next_day, "refit") == read_metrics(undisturbed, next_day, "refit") != {}


@pytest.mark.classic
def test_ids_from_sparks_executors_are_those_of_this_process(lake: Lake, settings: Settings) -> None:
    in_process, on_spark = with_quantizer(settings), with_quantizer(settings, spark_parts=2)
    days = {DAY: range(150), DAY + timedelta(1): range(50, 250)}
    for day, items in days.items():
        put_vectors(lake, settings, items, day)
        quantize.run(lake, in_process, day)
    expected = sorted(map(tuple, (row.items() for row in lake.arrow("gold.semantic_ids").to_pylist())))
    assert any(row[6][1] > 0 for row in expected)  # some items share an ID
    put(lake, "gold.semantic_ids", [])
    for day, items in days.items():
        put_vectors(lake, settings, items, day)
        assert quantize.run(lake, on_spark, day).rows_out == (150 if day == DAY else 100)
        assert quantize.run(lake, on_spark, day).rows_out == 0
    assert sorted(map(tuple, (row.items() for row in lake.arrow("gold.semantic_ids").to_pylist()))) == expected


@pytest.mark.parametrize(("setting", "value"), [("max_error_ratio", 1.5), ("max_new_collision", 0.5)])
def test_items_that_do_not_suit_the_codebook_bring_a_refit_that_suits_them(
    lake: Lake, settings: Settings, setting: str, value: float
) -> None:
    lenient = {"max_error_ratio": 99.0, "max_new_collision": 1.0, "min_new_items": 50}
    patient, strict = with_quantizer(settings, **lenient), with_quantizer(settings, **lenient | {setting: value})
    put_vectors(lake, patient, range(200), DAY)
    first = quantize.run(lake, strict, DAY)
    assert "refit" not in first.notes
    put_vectors(lake, patient, range(260), DAY + timedelta(1), shift=9.0)
    assert "refit" not in quantize.run(lake, patient, DAY + timedelta(1)).notes
    before = read_metrics(lake, DAY + timedelta(1), "new_items")
    refit = quantize.run(lake, strict, DAY + timedelta(1))
    assert setting in refit.notes["refit"]
    assert refit.notes["codebook_version"] != first.notes["codebook_version"]
    assert read_metrics(lake, DAY + timedelta(1), "all")["rebuild_error"] < before["rebuild_error"]
