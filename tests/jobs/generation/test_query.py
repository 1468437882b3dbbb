"""Items for a text, by the generator that was live."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from jobs import generate
from jobs.encoders.embedding import embed_missing
from jobs.encoders.tuned_encoders import base_encoder
from jobs.generation import trained as trained_module
from jobs.generation.query import answer_query
from jobs.lake import Lake, UserError
from jobs.settings.tree import Settings
from tests.jobs.generation.made_shop import BEFORE, DAY, land_walks, name, put_items, trained
from tests.jobs.lake_rows import put, release_row

COLOURS, KINDS = ("red", "blue", "green", "white"), ("mug", "lamp", "chair", "spoon", "carpet", "clock")


def title(item: int) -> str:
    return f"{COLOURS[item % 4]} enamel {KINDS[item // 4]}"


@pytest.fixture
def shop(lake: Lake, settings: Settings) -> Lake:
    """Items with titles and vectors of the encoder, and what users did."""
    put_items(lake, settings)
    rows = lake.arrow("silver.items").to_pylist()
    put(lake, "silver.items", [row | {"title": title(item), "text": title(item)} for item, row in enumerate(rows)])
    put(lake, "gold.item_embeddings", [])
    embed_missing(lake, settings, base_encoder(settings), BEFORE)
    land_walks(lake)
    return lake


def go_live(lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """Train the generator of the day and make a release of it. returns its address"""
    monkeypatch.setattr(trained_module, "_find_objection", lambda *_: None)
    uri = f"models/{generate.run(lake, settings, DAY).notes['generator']}/generator"
    encoder = {"encoder_version": base_encoder(settings).version}
    put(lake, "gold.releases", [release_row(1, DAY) | {"generator_uri": uri} | encoder])
    return uri


def test_the_items_whose_titles_hold_the_words_are_among_the_first(
    shop: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.generator.training.TOKENS_PER_QUERY", 1)  # it learns to read queries in few epochs
    small = trained(settings, epochs=5, patience=5, tokens=32)
    uri = go_live(shop, small, monkeypatch)
    gone = 4 * 4 + 1  # the blue carpet
    put(shop, "silver.items", [row for row in shop.arrow("silver.items").to_pylist() if row["item_id"] != name(gone)])
    before = shop.delta("gold.generated").version()
    for item in (15, 9):
        notes = answer_query(shop, small, DAY, title(item)).notes
        rows = notes["items"]
        assert (name(item), title(item)) in [(row["item_id"], row["title"]) for row in rows[:3]]
        assert [row["rank"] for row in rows] == list(range(1, 21))
        assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
        assert name(gone) not in {row["item_id"] for row in rows}
        assert rows[0]["sources"] == ["generator", "words", "text"]
        assert notes["generator_uri"] == uri
    assert shop.delta("gold.generated").version() == before
    command = [sys.executable, "-m", "jobs.generate", "--day", str(DAY), "--query", title(9)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[3], env=os.environ | {"LAKE": shop.root}, capture_output=True, text=True
    )
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["job"] == "query"
    assert json.loads(line)["items"][0]["item_id"] == rows[0]["item_id"]
    assert title(9) in done.stderr
    assert shop.arrow("ops.runs", where=ds.field("job") == "query").num_rows == 1


def test_what_cannot_be_answered_is_said_in_one_sentence(
    shop: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(query: str = "red mug", day: str = str(DAY)) -> str:
        with pytest.raises(UserError) as error:
            answer_query(shop, settings, DAY if day == str(DAY) else DAY - timedelta(1), query)
        return str(error.value)

    for empty in ("", "  ", "?!"):
        assert "has no word: describe an item" in refusal(empty)
    for damaged in ("\udcff", "mug \udcff"):
        assert "is not valid UTF-8: write it again" in refusal(damaged)
    assert f"no model was live after {DAY}" in refusal()
    put(shop, "gold.releases", [release_row(1, DAY)])
    assert "no trained generator was live" in refusal()
    assert f"no model was live after {BEFORE}" in refusal(day=str(BEFORE))
    go_live(shop, trained(settings, "sasrec", epochs=1), monkeypatch)
    assert "does not know items by their texts, but by id" in refusal()
    uri = go_live(shop, trained(settings, epochs=1), monkeypatch)
    card = Path(shop.root) / uri / "card.json"
    card.write_text(card.read_text().replace(base_encoder(settings).version, "other-t64"))
    assert "with the encoder other-t64, which is neither in the lake nor" in refusal()
