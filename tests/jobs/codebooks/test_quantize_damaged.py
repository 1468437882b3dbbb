"""Wrong vectors, codebooks and IDs stop the job with a sentence that names them."""

from datetime import timedelta
from pathlib import Path

import pytest

from jobs import quantize
from jobs.lake import Lake, UserError
from jobs.settings.tree import Settings
from tests.jobs.codebooks.made_vectors import DIM, put_vectors, read_ids, with_quantizer
from tests.jobs.lake_rows import DAY, put


def test_damaged_codebooks_and_vectors_are_named(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = with_quantizer(settings)
    put_vectors(lake, settings, range(100), DAY)
    version = quantize.run(lake, settings, DAY).notes["codebook_version"]
    rows, embedded = (lake.arrow(name).to_pylist() for name in ("gold.codebooks", "gold.item_embeddings"))
    put(lake, "gold.codebooks", rows[:-1])
    with pytest.raises(UserError, match=f"codebook {version} in gold.codebooks is damaged"):
        quantize.run(lake, settings, DAY)
    put(lake, "gold.codebooks", [])
    with pytest.raises(UserError, match=f"gold.semantic_ids holds {version} already"):
        quantize.run(lake, settings, DAY)
    put(lake, "gold.codebooks", rows)
    for value in (float("nan"), 1e37):
        bad = embedded[7] | {"vector": [value, *embedded[7]["vector"][1:]]}
        put(lake, "gold.item_embeddings", [*embedded[:7], bad, *embedded[8:]])
        with pytest.raises(UserError, match=f"vector of item {bad['item_id']} .* NaN"):
            quantize.run(lake, settings, DAY)
    put(lake, "gold.item_embeddings", [*embedded[:7], bad | {"vector": [1.0]}, *embedded[8:]])
    with pytest.raises(UserError, match=r"vectors of \[.*\] numbers"):
        quantize.run(lake, settings, DAY)
    put_vectors(lake, settings, range(100), DAY)
    put(lake, "gold.item_embeddings", [row | {"vector": [1.0]} if n == 7 else row | {"day": DAY + timedelta(1)}
                                       for n, row in enumerate(embedded)])  # fmt: skip
    with pytest.raises(UserError, match="numbers by"):
        quantize.run(lake, settings, DAY + timedelta(1))
    for file in Path(lake.path("gold.item_embeddings")).rglob("*.parquet"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    monkeypatch.setattr("jobs.lake.store._DATASETS", {})  # as in a process that has not read the files before
    with pytest.raises(UserError, match=r"table gold.item_embeddings in .* is damaged"):
        quantize.run(lake, settings, DAY)


@pytest.mark.parametrize(
    ("part", "vector"),
    [("rebuilt", [float("nan")] * DIM), ("rebuilt", [None] * DIM), ("centroid", [float("inf")] * DIM),
     ("centroid", [1.0]), ("values", [2.0, -3.0]), ("rows", []), ("kind.res_kmeans_fsq", [8.0, float("inf"), 16.0])],
)  # fmt: skip
def test_wrong_numbers_in_a_codebook_are_refused(
    lake: Lake, settings: Settings, part: str, vector: list[float | None]
) -> None:
    settings = with_quantizer(settings)
    put_vectors(lake, settings, range(100), DAY)
    quantize.run(lake, settings, DAY)
    rows = lake.arrow("gold.codebooks").to_pylist()
    wrong_row = next(row for row in rows if row["part"] == part)
    put(lake, "gold.codebooks", [row | {"vector": vector} if row is wrong_row else row for row in rows])
    with pytest.raises(UserError, match=r"codebook .* in gold.codebooks is damaged"):
        quantize.run(lake, settings, DAY + timedelta(1))


def test_fewer_items_than_codes_get_ids_and_a_warning(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    put_vectors(lake, settings, range(10), DAY)
    quantize.run(lake, with_quantizer(settings), DAY)
    assert len(read_ids(lake)) == 10
    assert "10 items are few for 16 codes per level" in capsys.readouterr().err


def test_vectors_that_no_codebook_suits_are_named(lake: Lake, settings: Settings) -> None:
    settings = with_quantizer(settings)
    put_vectors(lake, settings, range(100), DAY)
    embedded = lake.arrow("gold.item_embeddings").to_pylist()
    put(lake, "gold.item_embeddings", [row | {"vector": [1e-20] * DIM} for row in embedded])
    with pytest.raises(UserError, match=r"no codebook of kind res_kmeans_fsq can be fitted on .*scale them"):
        quantize.run(lake, settings, DAY)
    put(lake, "gold.item_embeddings", embedded)
    quantize.run(lake, settings, DAY)
    put(lake, "gold.item_embeddings", [row | {"vector": row["vector"][:3]} for row in embedded])
    with pytest.raises(UserError, match="encodes vectors of 16 numbers, but the encoder's vectors have 3"):
        quantize.run(lake, settings, DAY)
    put(lake, "gold.item_embeddings", embedded)
    id_rows = lake.arrow("gold.semantic_ids").to_pylist()
    put(lake, "gold.semantic_ids", [row | {"c2": 4000} for row in id_rows])
    with pytest.raises(UserError, match=r"gold.semantic_ids of .* is damaged"):
        quantize.run(lake, settings, DAY)
