"""List the days that a landing folder holds events of.

    python -m jobs.landing.days --data landing

The last line on standard output is a JSON list. It reads no table, so it needs neither a lake nor a profile.
"""

import argparse
import json
import re
import sys
from datetime import date, timedelta
from pathlib import Path

import duckdb

from jobs.lake import UserError
from jobs.lake.duckdb_connection import open_duckdb
from jobs.landing.files import LandingFile, landing_files, parquet_columns

TIME = re.compile(r"\d{4}-\d{2}-\d{2}")


def event_days(folder: Path) -> list[str]:
    """Day folders, and the dates up to today in event files outside day folders; sorted.

    raises  UserError as `landing_files` does, or if a file cannot be read
    """
    files = [f for f in landing_files(folder) if f.kind == "events"]
    days = {str(f.day) for f in files if f.day}
    for file in (f for f in files if f.day is None):
        days |= _dates(file)
    return sorted(days)


def _dates(file: LandingFile) -> set[str]:
    if file.format == "parquet":
        parquet_columns(file)
        query = "SELECT DISTINCT left(CAST(ts AS VARCHAR), 10) FROM read_parquet(?)"
    elif file.format == "csv":
        query = "SELECT DISTINCT left(ts, 10) FROM read_csv(?, all_varchar = true, ignore_errors = true)"
    else:
        query = r"""SELECT DISTINCT regexp_extract(line, '"ts"\s*:\s*"(\d{4}-\d{2}-\d{2})', 1)
                    FROM read_csv(?, columns = {'line': 'VARCHAR'}, delim = chr(1), quote = '', escape = '',
                                  header = false, auto_detect = false, ignore_errors = true,
                                  max_line_size = 16777216)"""
    try:
        with open_duckdb() as engine:
            found = {text for (text,) in engine.execute(query, [file.path]).fetchall() if text and TIME.fullmatch(text)}
    except duckdb.Error as error:
        raise UserError(f"{file.name}: its times (column ts) cannot be read: {str(error).splitlines()[0]}") from None
    # A wrong clock must not make the year 2111 the last day; such a line, and 30 February, is ingest's to judge.
    return {text for text in found if _is_day(text) and text <= str(date.today() + timedelta(days=1))}


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.landing.days", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    try:
        print(json.dumps(event_days(parser.parse_args().data)))
    except UserError as error:
        sys.exit(f"days failed: {error}")


if __name__ == "__main__":
    main()
