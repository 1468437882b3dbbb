"""List the days that a landing folder holds events of.

    python -m jobs.days --data landing

The last line on standard output is a JSON list. It reads no table, so it needs neither a lake nor a profile.
"""

import argparse
import json
import re
import sys
from datetime import date
from pathlib import Path

import duckdb

from jobs.lake import UserError
from jobs.landing import LandingFile, landing_files

TIME = re.compile(r"\d{4}-\d{2}-\d{2}")


def event_days(folder: Path) -> list[str]:
    """Day folders, and the dates in event files outside day folders; sorted.

    raises  UserError as `landing_files` does
    """
    files = [f for f in landing_files(folder) if f.kind == "events"]
    days = {str(f.day) for f in files if f.day}
    for file in (f for f in files if f.day is None):
        days |= _dates(file)
    return sorted(days)


def _dates(file: LandingFile) -> set[str]:
    if file.format == "parquet":
        query = "SELECT DISTINCT left(CAST(ts AS VARCHAR), 10) FROM read_parquet(?)"
    elif file.format == "csv":
        query = "SELECT DISTINCT left(ts, 10) FROM read_csv(?, all_varchar = true, ignore_errors = true)"
    else:
        query = r"""SELECT DISTINCT regexp_extract(line, '"ts"\s*:\s*"(\d{4}-\d{2}-\d{2})', 1)
                    FROM read_csv(?, columns = {'line': 'VARCHAR'}, delim = chr(1), quote = '', escape = '',
                                  header = false, auto_detect = false, ignore_errors = true,
                                  max_line_size = 16777216)"""
    rows = duckdb.execute(query, [file.path]).fetchall()
    return {str(date.fromisoformat(text)) for (text,) in rows if text and TIME.fullmatch(text)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.days", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    try:
        print(json.dumps(event_days(parser.parse_args().data)))
    except UserError as error:
        sys.exit(f"days failed: {error}")


if __name__ == "__main__":
    main()
