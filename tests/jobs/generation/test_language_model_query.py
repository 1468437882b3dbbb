"""Items for a text, by a generator that is a language model: from a stored one to the printed rows."""

from pathlib import Path

import pytest

from jobs.generation.query import answer_query
from jobs.lake import Lake, UserError
from jobs.settings.tree import Settings
from models.generator.tasks import PRESETS, Task
from tests.jobs.generation.made_shop import DAY, name
from tests.jobs.generation.test_language_model import small
from tests.jobs.generation.test_query import go_live, shop, title
from tests.jobs.lake_rows import put
from tests.models.generator.shop import save_lm

__all__ = ["shop"]  # a fixture
GONE = 5  # an item that silver.items no longer has
NEW = 6  # an item that got its semantic ID after the training, of codes that the model knows
NO_TOKEN = 7  # an item with a code that the model does not know


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_lm(tmp_path / "lm")


def test_a_language_model_writes_the_items_that_a_text_describes(
    shop: Lake, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PRESETS, "semantic_convergence", (Task("sequence", "predict"), Task("query", "predict")))
    training = {"lora_rank": 0, "steps": 50, "rows": 32, "lr": 1e-2}
    learned = small(settings, folder, "semantic_convergence", epochs=2, language_model=training)
    items, codes = (shop.arrow(table).to_pylist() for table in ("silver.items", "gold.semantic_ids"))
    put(shop, "gold.semantic_ids", [row for row in codes if row["item_id"] != name(NEW)])
    uri = go_live(shop, learned, monkeypatch)
    put(shop, "silver.items", [row for row in items if row["item_id"] != name(GONE)])
    now = [row | {"c1": 63} if row["item_id"] == name(NO_TOKEN) else row for row in codes]
    put(shop, "gold.semantic_ids", [*now, *(row | {"codebook_version": "later", "c1": 3 - row["c1"]} for row in codes)])
    capsys.readouterr()
    for item in (15, 9):
        notes = answer_query(shop, learned, DAY, title(item)).notes
        rows = {row["item_id"]: row for row in notes["items"]}
        assert next(iter(rows)) == name(item)
        assert rows[name(item)] == {
            "rank": 1, "item_id": name(item), "title": title(item), "score": pytest.approx(2 / 11),
            "sources": ["generator", "words"],
        }  # fmt: skip
        assert name(GONE) not in rows
        assert notes["generator_uri"] == uri
        assert title(item) in capsys.readouterr().err
    for item, sources in ((NEW, ["generator", "words"]), (NO_TOKEN, ["words"])):
        rows = {row["item_id"]: row for row in answer_query(shop, learned, DAY, title(item)).notes["items"]}
        assert rows[name(item)]["sources"] == sources
    (Path(shop.root) / uri / "codes.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match=f"^model {uri} is damaged .* cannot be loaded as a language model"):
        answer_query(shop, learned, DAY, title(9))
