"""List the days for which a landing folder holds events.

    python -m jobs.landing.days --data landing

The last line on standard output is a JSON list of days. This command reads no table, so it needs no lake.
"""

import argparse
import json
import sys
from datetime import date, timedelta

import pyarrow.compute as pc

from jobs.lake import UserError
from jobs.landing.fields import IGNORED
from jobs.landing.files import LandingFile, list_landing_files
from jobs.landing.folder import LandingFolder, parse_folder
from jobs.landing.lines import describe_reading, split_file
from jobs.landing.parse import REFUSED, read_files
from jobs.landing.settings import Landing
from jobs.landing.toml import load_landing
from jobs.runtime.entry import error_sentence
from jobs.runtime.printable import printable
from jobs.settings.tree import load_settings


def list_event_days(folder: LandingFolder, landing: Landing) -> list[str]:
    """List the days of the day folders, and the dates in event files outside day folders; sorted.

    raises  UserError as `list_landing_files` does, or if a file cannot be read
    """
    landing = load_landing(folder, landing)
    files = [file for file in list_landing_files(folder, landing).files if file.kind == "events"]
    days = {str(file.day) for file in files if file.day}
    for file in files:
        if file.day is None:
            days |= _read_dates(file, landing)
    return sorted(days)


def _read_dates(file: LandingFile, landing: Landing) -> set[str]:
    today = date.today()
    values = {"since": today, "day": today, "run_id": "", "late_days": 0}
    days: set[date] = set()
    lines = 0
    for batch in read_files(describe_reading("events", landing, values), split_file(file)):
        batch = batch.filter(pc.fill_null(pc.not_equal(batch["reason"], IGNORED), True))
        lines += len(batch)
        days.update(batch["event_day"].drop_null().unique().to_pylist())
        if refused := [reason for reason in batch["reason"].to_pylist() if (reason or "").startswith(REFUSED)]:
            raise UserError(f"{file.name}: {refused[0].removeprefix(REFUSED)}")
    if lines and not days:
        raise UserError(f"{file.name}: its times (column ts) cannot be read")
    # A wrong clock must not make the year 2111 the last day. Ingest decides what becomes of such a line.
    return {str(day) for day in days if day <= today + timedelta(days=1)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.landing.days", description=__doc__)
    parser.add_argument("--data", type=parse_folder, required=True, help="landing folder")
    try:
        print(json.dumps(list_event_days(parser.parse_args().data, load_settings().landing)))
    except (UserError, OSError) as error:
        sys.exit(printable(f"days failed: {error_sentence(error)}"))


if __name__ == "__main__":
    main()
