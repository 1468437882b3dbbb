"""A Spark SQL shell on the tables of a lake.

    python -m jobs.lake.shell [-e "SELECT ..."]

It knows every table of sql/tables, at its place in LAKE, and every view of sql/views. Statements end with `;`.
"""

import argparse
import atexit
import readline
import sys
from collections.abc import Iterator
from itertools import takewhile

from deltalake import DeltaTable
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # it ships no types
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from jobs.lake import Lake, UserError
from jobs.lake.contracts import ROOT, contracts
from jobs.lake.lake import lake_root
from jobs.lake.statements import spark_literal, split_statements
from jobs.lake.store import spark_address
from jobs.runtime.printable import printable

HISTORY = ROOT.parent / ".state" / "sql_history"
EXAMPLE = "SELECT * FROM gold.day_funnel ORDER BY day;"
ROWS_SHOWN = 100
MAX_WIDTH = 60  # characters of a column on a terminal; longer values are cut


def register(spark: SparkSession, lake: Lake) -> list[str]:
    """Register the tables and views of the lake in Spark's catalog. Returns their names."""
    lake.create()
    views = sorted((ROOT / "views").glob("*.sql"))
    for schema in sorted({name.split(".")[0] for name in contracts()}):
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for name in contracts():
        _register_table(spark, name, lake.path(name))
    for view in views:
        spark.sql(view.read_text())
    return sorted([*contracts(), *(view.stem for view in views)])


def _register_table(spark: SparkSession, name: str, path: str) -> None:
    if spark.catalog.tableExists(name):  # on a Spark server, which may know the table of another lake
        spark.sql(f"DROP TABLE {name}")  # removes only the name: the files of an external table stay
    spark.sql(f"CREATE TABLE {name} USING DELTA LOCATION {spark_literal(spark_address(path))}")


def answer(spark: SparkSession, statement: str) -> str:
    """Run a statement and format its rows as an aligned table.

    raises  UserError with Spark's error in one sentence
    """
    try:
        return format_rows(spark.sql(statement))
    except PySparkException as error:
        raise UserError(_first_sentence(error.getMessage() or str(error))) from None
    except (ValueError, OverflowError) as error:  # a time that Python cannot hold
        raise UserError(f"a value cannot be shown: {error}") from None
    except Py4JJavaError as error:
        raise UserError(_first_sentence(str(error.java_exception))) from None


def _first_sentence(message: str) -> str:
    """The first paragraph of Spark's message, without the place in the query plan."""
    lines = takewhile(lambda line: line.strip() and not line.startswith("=="), message.strip().splitlines())
    return printable(" ".join(" ".join(lines).split()).partition(" SQLSTATE:")[0])


def format_rows(frame: DataFrame) -> str:
    """Format the first rows as aligned text: numbers to the right, all else to the left.

    On a terminal long values are cut. In a pipe or file they stay whole.
    """
    if not frame.columns:
        return "done"
    rows = frame.limit(ROWS_SHOWN + 1).collect()
    max_width = MAX_WIDTH if sys.stdout.isatty() else None
    cells = [[_format_cell(value, max_width) for value in row] for row in rows[:ROWS_SHOWN]]
    widths = [max(map(len, column)) for column in zip(frame.columns, *cells, strict=True)]
    is_number = [any(isinstance(row[n], int | float) for row in rows) for n in range(len(widths))]

    def format_line(texts: list[str]) -> str:
        columns = zip(texts, widths, is_number, strict=True)
        padded = (text.rjust(width) if number else text.ljust(width) for text, width, number in columns)
        return "  ".join(padded).rstrip()

    rule = format_line(["-" * width for width in widths])
    lines = [format_line(frame.columns), rule, *map(format_line, cells), f"({_row_count(len(rows))})"]
    return "\n".join(lines)


def _row_count(rows: int) -> str:
    if rows > ROWS_SHOWN:
        return f"the first {ROWS_SHOWN} rows; more with LIMIT and OFFSET"
    return "1 row" if rows == 1 else f"{rows} rows"


def _format_cell(value: object, max_width: int | None) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
    text = printable(" ".join(text.split()))
    return text if max_width is None or len(text) <= max_width else text[: max_width - 1] + "…"


def _read_statements() -> Iterator[str]:
    """Read statements from the keyboard or a pipe, until its end, `quit` or `exit`."""
    is_keyboard = sys.stdin.isatty()
    if is_keyboard:
        _load_history()
    text = ""
    while True:
        try:
            line = input(("...> " if text.strip() else "sql> ") if is_keyboard else "")
        except KeyboardInterrupt:
            text = ""
            print()
            continue
        except EOFError:
            if not is_keyboard:
                statements, unfinished = split_statements(f"{text}\n;")
                yield from statements or filter(None, [unfinished.strip()])  # Spark says what is wrong with it
            return
        if not text.strip() and line.strip().rstrip(";").lower() in ("quit", "exit"):
            return
        statements, text = split_statements(text + line + "\n")
        yield from statements


def _load_history() -> None:
    """Load the statements of earlier sessions for the arrow keys, and save them at the end."""
    HISTORY.parent.mkdir(exist_ok=True)
    if HISTORY.is_file():
        readline.read_history_file(HISTORY)
    atexit.register(readline.write_history_file, HISTORY)


def shell(spark: SparkSession) -> bool:
    """Answer statements until there are no more. Returns whether all of them succeeded."""
    succeeded = True
    for statement in _read_statements():
        try:
            print(answer(spark, statement), flush=True)
        except UserError as error:
            succeeded = False
            print(error, file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print("stopped")
    return succeeded


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.lake.shell", description=__doc__)
    parser.add_argument("-e", dest="statement", help="answer this statement and exit")
    statement = parser.parse_args().statement
    lake = Lake(lake_root())
    if not DeltaTable.is_deltatable(lake.path("ops.runs")):
        sys.exit(f"there is no lake at {lake.root}; run `make run` first, or set LAKE to one")
    print(f"Starting Spark on {lake.root} ...", file=sys.stderr, flush=True)
    try:
        names = register(lake.spark, lake)
        if statement is not None:
            print(answer(lake.spark, statement.strip().rstrip(";")))
            return
    except (UserError, PySparkException) as error:
        sys.exit(f"sql failed: {_first_sentence(str(error))}")
    print("\n  ".join([f"Tables and views of {lake.root}:", *names]), file=sys.stderr)
    print(f"End each statement with `;`, such as: {EXAMPLE}", file=sys.stderr)
    print("Statements can change the tables. To go back: DESCRIBE HISTORY <table>;", file=sys.stderr)
    print("and RESTORE TABLE <table> TO VERSION AS OF <version>;", file=sys.stderr)
    print("To leave the shell: `quit` or Ctrl-D.", file=sys.stderr, flush=True)
    succeeded = shell(lake.spark)
    if not succeeded and not sys.stdin.isatty():
        sys.exit(1)


if __name__ == "__main__":
    main()
