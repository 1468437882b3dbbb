"""Settings that cannot work stop the job with a sentence that names the key."""

import pytest

from jobs.lake import UserError
from jobs.settings.tree import load_settings


@pytest.mark.parametrize(("variable", "value", "message"), [
    ("SIDEREAL_GENERATOR__PRESET", "tree", "setting generator.preset is wrong"),
    ("SIDEREAL_GENERATOR__GRAPH_DAYS", "0", "setting generator.graph_days is wrong"),
    ("SIDEREAL_GENERATOR__K", "0", "setting generator.k is wrong"),
    ("SIDEREAL_GENERATOR", '{"preset":"tiger","beam":20}', "beam: 20 prefixes lead to fewer than k = 50 items"),
    ("SIDEREAL_GENERATOR__PRESET", "lc_rec", "model: the preset lc_rec needs the folder of a language model"),
    ("SIDEREAL_RECOMMEND__SOURCES", '["graph","swing"]', "setting recommend.sources.1 is wrong"),
    ("SIDEREAL_RECOMMEND__SOURCES", '["graph","graph"]', "sources: graph, graph names a source twice"),
    ("SIDEREAL_RECOMMEND__SOURCES", "[]", "sources: name at least one of pairs, neighbours, graph, generator, popular"),
])  # fmt: skip
def test_a_wrong_value_stops_the_job_and_names_the_key(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=message):
        load_settings()
