"""List the days for which a landing folder holds events.

    python -m jobs.landing.days --data landing

The last line on standard output is a JSON list of days. This command reads no table, so it needs no lake and no
profile.
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
from jobs.landing.files import LandingFile, list_landing_files
from jobs.landing.parquet import check_parquet_columns

DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
QUERIES = {  # the first ten characters of each time in a file
    "parquet": "SELECT DISTINCT left(CAST(ts AS VARCHAR), 10) FROM read_parquet(?)",
    "csv": "SELECT DISTINCT left(ts, 10) FROM read_csv(?, all_varchar = true, ignore_errors = true)",
    "jsonl": r"""SELECT DISTINCT regexp_extract(line, '"ts"\s*:\s*"(\d{4}-\d{2}-\d{2})', 1)
                 FROM read_csv(?, columns = {'line': 'VARCHAR'}, delim = chr(1), quote = '', escape = '',
                               header = false, auto_detect = false, ignore_errors = true, max_line_size = 16777216)""",
}


def list_event_days(folder: Path) -> list[str]:
    """List the days of the day folders, and the dates in event files outside day folders; sorted.

    raises  UserError as `list_landing_files` does, or if a file cannot be read
    """
    files = [file for file in list_landing_files(folder) if file.kind == "events"]
    days = {str(file.day) for file in files if file.day}
    for file in files:
        if file.day is None:
            days |= _read_dates(file)
    return sorted(days)


def _read_dates(file: LandingFile) -> set[str]:
    if file.format == "parquet":
        check_parquet_columns(file)
    try:
        with open_duckdb() as engine:
            dates = {text for (text,) in engine.execute(QUERIES[file.format], [file.path]).fetchall() if text}
    except duckdb.Error as error:
        message = str(error).splitlines()[0]
        raise UserError(f"{file.name}: its times (column ts) cannot be read: {message}") from None
    # A wrong clock must not make the year 2111 the last day. Ingest decides what becomes of such a line.
    tomorrow = str(date.today() + timedelta(days=1))
    return {text for text in dates if _is_date(text) and text <= tomorrow}


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:  # such as 30 February
        return False
    return DATE.fullmatch(text) is not None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.landing.days", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    try:
        print(json.dumps(list_event_days(parser.parse_args().data)))
    except UserError as error:
        sys.exit(f"days failed: {error}")


if __name__ == "__main__":
    main()
