"""Stored models: what cannot be read is told in a sentence."""

import json
from pathlib import Path

import pytest

from jobs.lake import Lake, UserError
from jobs.model_store import load_card


@pytest.mark.parametrize(("held", "told"), [(None, "is not in"), ({"k": 50}, "another version of this code")])
def test_a_card_that_is_gone_or_of_another_version_is_named(lake: Lake, held: dict[str, int] | None, told: str) -> None:
    folder = Path(lake.root) / "models/m/challenger"
    folder.mkdir(parents=True)
    if held:
        (folder / "card.json").write_text(json.dumps(held))
    with pytest.raises(UserError, match=told):
        load_card(lake, "models/m/challenger")
