"""The files of the simulate job: the same bytes for the same flags, complete files, clear errors."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from jobs.simulation.landing import open_atomically, write_landing
from tests.simulated import DAYS, KNOWN_EVENTS, SIZES, Landing, read_good_events, read_lines


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes(landing: Landing, tmp_path: Path) -> None:
    write_landing(tmp_path, days=DAYS, faults=0.02, **SIZES)
    assert read_all(tmp_path) == read_all(landing[0])


def test_another_seed_gives_other_events(landing: Landing, tmp_path: Path) -> None:
    write_landing(tmp_path, days=DAYS[:1], faults=0.02, **{**SIZES, "seed": 4})
    name = Path(str(DAYS[0])) / "events.jsonl.gz"
    assert (tmp_path / name).read_bytes() != (landing[0] / name).read_bytes()


def test_a_day_does_not_depend_on_how_many_days_follow(landing: Landing, tmp_path: Path) -> None:
    write_landing(tmp_path, days=DAYS[:2], faults=0.02, **SIZES)
    for day in DAYS[:2]:
        assert read_all(tmp_path / str(day)) == read_all(landing[0] / str(day))


def test_no_bad_line_is_planted_when_none_is_asked_for(tmp_path: Path) -> None:
    (summary,) = write_landing(tmp_path, days=DAYS[:1], faults=0.0, **SIZES)
    assert summary["lines"] == summary["clean"]


def test_parquet_holds_the_same_good_events_as_json_lines(landing: Landing, tmp_path: Path) -> None:
    write_landing(tmp_path, days=DAYS, faults=0.02, format="parquet", **SIZES)
    table = pq.read_table(tmp_path / str(DAYS[1]) / "events.parquet")
    rows: dict[str, dict[str, Any]] = {}
    for row in table.to_pylist():
        if None in (row["item_id"], row["event"], row["ts"]) or row["event"] not in KNOWN_EVENTS:
            continue
        row["ts"] = f"{row['ts']:%Y-%m-%dT%H:%M:%SZ}"
        if row["ts"].startswith(str(DAYS[1])):
            rows[row["event_id"]] = {name: value for name, value in row.items() if value is not None}
    assert list(rows.values()) == read_good_events(landing[0], DAYS[1])


def run_command(*flags: str, at_most_kib: int = 1_000_000) -> subprocess.CompletedProcess[str]:
    """Run the job as a user does. A limit on the size of files stands in for a full disk."""
    job = shlex.join([sys.executable, "-m", "jobs.simulate", "--day", "2026-11-20", *flags])
    limited_job = ["bash", "-c", f"ulimit -f {at_most_kib}; exec {job}"]
    root = Path(__file__).parents[3]
    return subprocess.run(limited_job, capture_output=True, text=True, cwd=root, check=False)


def test_the_command_ends_with_the_counts_as_one_json_line(tmp_path: Path) -> None:
    process = run_command("--days", "2", "--events-per-day", "1000", "--out", str(tmp_path))
    assert process.returncode == 0
    counts = json.loads(process.stdout.splitlines()[-1])
    written = sum(len(read_lines(path)) for path in tmp_path.rglob("events.jsonl.gz"))
    assert (counts["days"], counts["lines"]) == (2, written)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-11-19", "2026-11-20", "_truth.json"]


def test_a_full_disk_ends_in_one_sentence_and_no_half_file(tmp_path: Path) -> None:
    process = run_command("--days", "1", "--out", str(tmp_path), at_most_kib=100)
    assert process.returncode == 1
    assert len(process.stderr.splitlines()) == 1
    assert "events.jsonl.gz: File too large" in process.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["items.jsonl.gz"]


def test_a_file_has_its_name_only_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    with open_atomically(path) as file:
        file.write(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"


def test_files_carry_neither_the_time_nor_the_name_they_were_written_under(landing: Landing) -> None:
    for path in landing[0].rglob("*.gz"):
        flags, time = path.read_bytes()[3], path.read_bytes()[4:8]
        assert (flags, time) == (0, bytes(4)), path


def test_a_wrong_size_ends_in_one_sentence(tmp_path: Path) -> None:
    process = run_command("--users", "0", "--out", str(tmp_path))
    assert process.returncode == 1
    assert process.stderr == "simulate: items, users and events a day must be at least 1, new items a day at least 0\n"
