"""A wrong setting stops at start and is named."""

import pytest

from jobs.lake import UserError
from jobs.settings import load_settings


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SIDEREAL_RANKER__EPOCHS", "many", r"ranker\.epochs.*'many'"),
        ("SIDEREAL_RANKER__EPOCH", "3", r"ranker\.epoch\b"),
        ("SIDEREAL_RANKR__EPOCHS", "3", "SIDEREAL_RANKR__EPOCHS is unknown"),
        ("SIDEREAL_RANKER__VALID_SHARE", "1", r"ranker\.valid_share"),
        ("SIDEREAL_RANKER__DIM", "10", r"ranker\.dim"),
        ("SIDEREAL_QUANTIZER__SIZES", "64,64,256", "SIZES=\\[64,64,256\\]"),
        ("SIDEREAL_QUANTIZER__SIZES", "[64,64,100]", "power of two"),
        ("PROFILE", "huge", "PROFILE=huge is unknown; use one of: demo, gpu, small"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=told):
        load_settings()
