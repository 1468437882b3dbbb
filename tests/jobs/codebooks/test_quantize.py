"""Semantic IDs from day to day: what is published stays, a refit keeps the old numbers."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs import quantize
from jobs.codebooks.store import Book
from jobs.encoders.tuned_encoders import base_encoder
from jobs.lake import Lake
from jobs.settings.tree import Settings
from models.quantizers import ResKmeansFSQ
from tests.jobs.codebooks.made_vectors import ids, measured, put_vectors, told
from tests.jobs.lake_rows import DAY, put, release_row


def test_no_published_id_moves_and_refits_come_on_their_days(lake: Lake, settings: Settings) -> None:
    settings = told(settings, refit_days=2)
    published: dict[tuple[str, str], str] = {}
    versions = []
    for number in range(6):
        day = DAY + timedelta(number)
        put_vectors(lake, settings, range(8 * number, 300 + 8 * number), day)
        versions.append(quantize.run(lake, settings, day).notes["codebook_version"])
        now = ids(lake)
        assert published.items() <= now.items()
        of_version = [sid for (version, _), sid in now.items() if version == versions[-1]]
        assert len(set(of_version)) == len(of_version)
        published = now
    fitted = [DAY + timedelta(n) for n in (0, 2, 4)]
    assert sorted({version[:10] for version in versions}) == [str(day) for day in fitted]
    for day in fitted[1:]:
        refit = measured(lake, day, "refit")
        assert 0 <= refit["moved_c1"] <= refit["moved_c1c2"] <= refit["moved_id"] < 0.4  # 0.6 if digits are not kept
    assert not measured(lake, DAY + timedelta(1), "refit")


def test_a_rerun_changes_nothing_and_an_older_day_goes_by_its_own_codebook(lake: Lake, settings: Settings) -> None:
    settings = told(settings, refit_days=1)
    put_vectors(lake, settings, range(200), DAY)
    first = quantize.run(lake, settings, DAY).notes["codebook_version"]
    second = quantize.run(lake, settings, DAY + timedelta(1))
    assert "refit_days" in second.notes["refit"]
    before, moved = ids(lake), measured(lake, DAY + timedelta(1), "refit")
    for day, version in ((1, second.notes["codebook_version"]), (0, first)):
        again = quantize.run(lake, settings, DAY + timedelta(day))
        assert (again.notes, again.rows_out) == ({"codebook_version": version}, 0)
    assert ids(lake) == before
    assert measured(lake, DAY + timedelta(1), "refit") == moved


def test_an_older_day_that_runs_again_leaves_every_codebook_and_id_as_they_are(lake: Lake, settings: Settings) -> None:
    strict = told(settings, min_new_items=50)
    put_vectors(lake, strict, range(200), DAY)
    quantize.run(lake, strict, DAY)
    put_vectors(lake, strict, range(260), DAY + timedelta(1), shift=9.0)
    assert "refit" in quantize.run(lake, strict, DAY + timedelta(1)).notes
    tables = [lake.arrow(name).to_pylist() for name in ("gold.codebooks", "gold.semantic_ids")]
    fresh = measured(lake, DAY + timedelta(1), "new_items")
    for day in (DAY - timedelta(1), DAY, DAY + timedelta(1)):
        again = quantize.run(lake, strict, day)
        assert ("refit" in again.notes, again.rows_out) == (False, 0)
        assert [lake.arrow(name).to_pylist() for name in ("gold.codebooks", "gold.semantic_ids")] == tables
    assert measured(lake, DAY + timedelta(1), "new_items") == fresh


@pytest.mark.parametrize("parts", [0, 2])
def test_an_older_day_that_runs_again_leaves_items_of_later_days_to_those(
    lake: Lake, settings: Settings, parts: int
) -> None:
    settings = told(settings, spark_parts=parts)
    put_vectors(lake, settings, range(200), DAY)
    quantize.run(lake, settings, DAY)
    health = measured(lake, DAY, "all")
    put_vectors(lake, settings, range(230), DAY + timedelta(1))
    assert quantize.run(lake, settings, DAY).rows_out == 0
    assert measured(lake, DAY, "all") == health
    assert quantize.run(lake, settings, DAY + timedelta(1)).rows_out == 30


def test_items_whose_text_changed_do_not_hide_that_new_ones_do_not_fit(settings: Settings) -> None:
    days = np.repeat(np.array([DAY, DAY + timedelta(1)], "datetime64[D]"), (200, 60))
    errors = torch.cat([torch.full((200,), 1.0), torch.full((60,), 2.0)]).double()
    errors[:40], same = 9.0, np.arange(260) >= 40  # errors of texts that the IDs are not of
    ids = quantize._Published(torch.zeros(260, 3), days, same, errors, np.zeros(260, bool), DAY + timedelta(1))
    book = Book(DAY, "book", "encoder")
    strict = told(settings, min_new_items=50)
    assert "2.00 times the error" in quantize._reason(strict, ids, book, DAY + timedelta(1))
    assert not quantize._reason(strict, ids._replace(same=np.ones(260, bool)), book, DAY + timedelta(1))
    later = ids._replace(newest=DAY + timedelta(2))  # this day runs again
    assert not quantize._reason(strict, later, book, DAY + timedelta(1))


def test_a_codebook_is_fitted_on_its_day_and_by_drift_also_after_everything_was_embedded_again(
    settings: Settings,
) -> None:
    days = np.repeat(np.array([DAY, DAY + timedelta(1)], "datetime64[D]"), (200, 60))
    errors = torch.cat([torch.full((200,), 1.0), torch.full((60,), 2.0)]).double()
    ids = quantize._Published(
        torch.zeros(260, 3), days, np.zeros(260, bool), errors, np.zeros(260, bool), DAY + timedelta(1)
    )
    book, day = Book(DAY, "book", "encoder"), DAY + timedelta(1)
    assert "2.00 times the error" in quantize._reason(told(settings, min_new_items=50), ids, book, day)
    assert "refit_days" in quantize._reason(told(settings, refit_days=1), ids, book, day)


def test_a_refit_that_comes_out_in_other_numbers_is_published_in_the_old_ones(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, settings = ResKmeansFSQ.fit, told(settings, refit_days=1, seed=1)

    def turned(*args: Any, **values: Any) -> ResKmeansFSQ:
        book = fit(*args, **values)
        names = [torch.arange(len(level)).flip(0) for level in book.centroids]
        return book.renamed(names, [3, 2, 1, 0], [True] * 4)

    put_vectors(lake, settings, range(200), DAY)
    quantize.run(lake, settings, DAY)
    monkeypatch.setattr(ResKmeansFSQ, "fit", turned)
    put_vectors(lake, settings, range(5, 205), DAY + timedelta(1))
    quantize.run(lake, settings, DAY + timedelta(1))
    assert measured(lake, DAY + timedelta(1), "refit")["moved_id"] < 0.4


def test_until_a_release_switches_new_items_get_ids_of_both_codebooks(lake: Lake, settings: Settings) -> None:
    settings, encoder = told(settings, refit_days=1), base_encoder(settings).version
    put_vectors(lake, settings, range(200), DAY)
    old = quantize.run(lake, settings, DAY).notes["codebook_version"]
    put(lake, "gold.releases", [release_row(1, DAY) | {"codebook_version": old, "encoder_version": encoder}])
    for number in (1, 2):
        put_vectors(lake, settings, range(200 + number), DAY + timedelta(number))
        new = quantize.run(lake, settings, DAY + timedelta(number)).notes["codebook_version"]
        assert new != old
        assert {(old, f"i{199 + number:04}"), (new, f"i{199 + number:04}")} <= ids(lake).keys()


def test_a_fit_in_two_processes_gives_the_ids_of_one(lake: Lake, settings: Settings) -> None:
    found = []
    for ranks in (1, 2):
        put(lake, "gold.semantic_ids", [])
        put(lake, "gold.codebooks", [])
        for number in (0, 1):  # the second day refits
            put_vectors(lake, settings, range(5 * number, 200), DAY + timedelta(number))
            quantize.run(lake, told(settings, refit_days=1, ranks=ranks), DAY + timedelta(number))
        found.append(ids(lake))
    assert found[0] == found[1]
    assert len({version for version, _ in found[0]}) == 2


class StopError(Exception):
    pass


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_run_that_died_between_its_writes_ends_in_the_same_tables_once_rerun(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, writes: int
) -> None:
    settings, next_day = told(settings, refit_days=1), DAY + timedelta(1)
    quiet = Lake(tmp_path / "quiet")
    quiet.create()
    for each in (lake, quiet):
        put_vectors(each, settings, range(150), DAY)
        quantize.run(each, settings, DAY)
        put_vectors(each, settings, range(20, 170), next_day)
    quantize.run(quiet, settings, next_day)
    replace, left = Lake.replace, list(range(writes))

    def dying(self: Lake, *args: Any, **partition: Any) -> int:
        if not left:
            raise StopError
        left.pop()
        return replace(self, *args, **partition)

    monkeypatch.setattr(Lake, "replace", dying)
    with pytest.raises(StopError):
        quantize.run(lake, settings, next_day)
    monkeypatch.setattr(Lake, "replace", replace)
    quantize.run(lake, settings, next_day)
    assert ids(lake) == ids(quiet)
    assert measured(lake, next_day, "all") == measured(quiet, next_day, "all")
    assert measured(lake, next_day, "refit") == measured(quiet, next_day, "refit") != {}


def test_ids_from_sparks_executors_are_those_of_this_process(lake: Lake, settings: Settings) -> None:
    here, there = told(settings), told(settings, spark_parts=2)
    days = {DAY: range(150), DAY + timedelta(1): range(50, 250)}
    for day, items in days.items():
        put_vectors(lake, settings, items, day)
        quantize.run(lake, here, day)
    wanted = sorted(map(tuple, (row.items() for row in lake.arrow("gold.semantic_ids").to_pylist())))
    assert any(row[6][1] > 0 for row in wanted)  # there are twins
    put(lake, "gold.semantic_ids", [])
    for day, items in days.items():
        put_vectors(lake, settings, items, day)
        assert quantize.run(lake, there, day).rows_out == (150 if day == DAY else 100)
        assert quantize.run(lake, there, day).rows_out == 0
    assert sorted(map(tuple, (row.items() for row in lake.arrow("gold.semantic_ids").to_pylist()))) == wanted


@pytest.mark.parametrize(("setting", "value"), [("max_error_ratio", 1.5), ("max_new_collision", 0.5)])
def test_items_that_do_not_fit_bring_a_refit_that_fits_them(
    lake: Lake, settings: Settings, setting: str, value: float
) -> None:
    lenient = {"max_error_ratio": 99.0, "max_new_collision": 1.0, "min_new_items": 50}
    patient, strict = told(settings, **lenient), told(settings, **lenient | {setting: value})
    put_vectors(lake, patient, range(200), DAY)
    first = quantize.run(lake, strict, DAY)
    assert "refit" not in first.notes
    put_vectors(lake, patient, range(260), DAY + timedelta(1), shift=9.0)
    assert "refit" not in quantize.run(lake, patient, DAY + timedelta(1)).notes
    before = measured(lake, DAY + timedelta(1), "new_items")
    done = quantize.run(lake, strict, DAY + timedelta(1))
    assert setting in done.notes["refit"]
    assert done.notes["codebook_version"] != first.notes["codebook_version"]
    assert measured(lake, DAY + timedelta(1), "all")["rebuild_error"] < before["rebuild_error"]
