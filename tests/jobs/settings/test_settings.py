"""A wrong setting stops a job at its start, with a message that names the setting."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.lake import Lake, UserError
from jobs.runtime.entry import last_ingest_profile
from jobs.settings.tree import load_settings
from tests.jobs.lake_rows import DAY, put, run_row


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SIDEREAL_RANKER__EPOCHS", "many", r"ranker\.epochs.*'many'"),
        ("SIDEREAL_RANKER__EPOCH", "3", r"ranker\.epoch\b"),
        ("SIDEREAL_JUDGE__LLM__SWING__ENDPOINT", "http://key@host/v1", "judge.llm.swing.endpoint is wrong"),
        ("SIDEREAL_ASK__LLM__ENDPOINT", "http://host:port/v1", "ask.llm.endpoint is wrong"),
        ("SIDEREAL_ASK__LLM__ENDPOINT", "http://[::1", "ask.llm.endpoint is wrong"),
        ("SIDEREAL_ALIGN__SEED", "4294967296", "align.seed is wrong"),
        ("SIDEREAL_RANKR__EPOCHS", "3", "SIDEREAL_RANKR__EPOCHS is unknown"),
        ("SIDEREAL_RANKER__VALID_SHARE", "1", r"ranker\.valid_share"),
        ("SIDEREAL_RANKER__DIM", "10", r"ranker\.dim"),
        ("SIDEREAL_QUANTIZER__SIZES", "64,64,256", "SIZES=\\[64,64,256\\]"),
        ("SIDEREAL_QUANTIZER__SIZES", "[64,64,100]", r"quantizer.*sizes.*power of two"),
        ("SIDEREAL_QUANTIZER__FSQ_VALUES", "[8,8,5]", r"quantizer.*fsq_values: 8 x 8 x 5 must give"),
        ("SIDEREAL_QUANTIZER__FSQ_VALUES", "[256,1]", r"quantizer\.fsq_values.*2"),
        ("SIDEREAL_QUANTIZER__SIZES", "[64,64,1]", r"quantizer.*sizes.*at least 2"),
        ("SIDEREAL_QUANTIZER__KIND", "nearest_items", r"quantizer\.kind.*'nearest_items'"),
        ("sidereal_rankers__k", "3", "sidereal_rankers__k is unknown"),
        ("SIDEREAL_RANKER__MAX_HISTORY", "99999999999999999999", r"ranker\.max_history"),
        ("SIDEREAL_RANKER__DROPOUT", "1", r"ranker\.dropout"),
        ("SIDEREAL_RANKER__FEATURES", "[]", r"ranker.*a model without features of items cannot rank them"),
        (
            "SIDEREAL_RANKER__EXTRAS",
            '["time","rates","time"]',
            r"setting ranker is wrong: extras: time, rates, time names a value twice \(",
        ),
        ("SIDEREAL_RANKER__LISTS", "{ click = 3 }", 'LISTS={"click":30}'),
        ("PROFILE", "huge", "PROFILE=huge is unknown; use one of: demo, gpu, small"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        load_settings()


def test_din_long_reads_ten_times_k_events_and_no_more_than_any_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDEREAL_RANKER__PRESET", "din_long")
    monkeypatch.setenv("SIDEREAL_RANKER__K", "1000")
    assert load_settings().ranker.k == 1000
    monkeypatch.setenv("SIDEREAL_RANKER__K", "1001")
    with pytest.raises(UserError, match=r"ranker.*k: din_long reads ten times as many"):
        load_settings()


def test_a_new_profile_is_a_file_that_holds_its_own_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("jobs.settings.tree.PROFILES", tmp_path)
    monkeypatch.setenv("PROFILE", "mine")
    (tmp_path / "mine.toml").write_text('profile = "mine"\n[ranker]\nk = 7\n')
    assert load_settings().ranker.k == 7
    (tmp_path / "mine.toml").write_text('profile = "demo"\n')
    with pytest.raises(UserError, match=r"profile of mine\.toml is wrong: expected 'mine', got 'demo'"):
        load_settings()


def test_a_password_in_an_address_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDEREAL_JUDGE__LLM__SWING__ENDPOINT", "http://secret@host/v1")
    with pytest.raises(UserError) as caught:
        load_settings()
    assert "secret" not in str(caught.value)


def test_one_setting_of_a_language_model_leaves_the_others_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDEREAL_JUDGE__LLM__TWO_TOWER__ENDPOINT", "http://127.0.0.1:8000/v1")
    monkeypatch.setenv("SIDEREAL_ASK__LLM__MODEL", "one")
    settings = load_settings()
    assert settings.judge.llm.two_tower.model == "Qwen/Qwen3-8B"
    assert (settings.ask.llm.model, settings.ask.llm.max_new_tokens) == ("one", 1024)


def test_a_job_without_a_profile_takes_the_profile_of_the_last_ingest(lake: Lake) -> None:
    assert last_ingest_profile(lake) is None
    rows = [run_row("ingest", DAY, second=n, profile=profile) for n, profile in enumerate(("demo", "small"))]
    put(lake, "ops.runs", [*rows, run_row("explain", DAY, second=9, profile="gpu")])
    assert last_ingest_profile(lake) == "small"


def test_only_ingest_begins_a_lake(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.promote", "--day", str(DAY), "--rollback"]
    environment = {**os.environ, "LAKE": str(tmp_path / "typo")}
    job = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert job.returncode == 1
    assert "there is no lake at" in job.stderr
    assert not (tmp_path / "typo").exists()
