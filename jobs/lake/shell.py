"""A Spark SQL shell on the tables of a lake: `python -m jobs.lake.shell`, or one statement with `-e "SELECT ..."`.

Registers every table of sql/tables at its place in LAKE and every view of sql/views. Statements end with `;`.
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

HISTORY = ROOT.parent / ".state" / "sql_history"
EXAMPLE = "SELECT * FROM gold.day_funnel ORDER BY day;"
ROWS_SHOWN = 100
WIDTH = 60  # of a column on a terminal; longer values are cut


def register(spark: SparkSession, lake: Lake) -> list[str]:
    """Name the lake's tables and views in Spark's catalogue. returns the names"""
    lake.create()
    views = sorted((ROOT / "views").glob("*.sql"))
    for schema in sorted({name.split(".")[0] for name in contracts()}):
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for name in contracts():
        _table(spark, name, lake.path(name))
    for view in views:
        spark.sql(view.read_text())
    return sorted([*contracts(), *(view.stem for view in views)])


def _table(spark: SparkSession, name: str, path: str) -> None:
    if spark.catalog.tableExists(name):  # on a Spark server, which may know another lake
        spark.sql(f"DROP TABLE {name}")  # forgets the name only: the files of an external table stay
    spark.sql(f"CREATE TABLE {name} USING DELTA LOCATION {spark_literal(path)}")


def answer(spark: SparkSession, statement: str) -> str:
    """What a statement gives, as an aligned table, or its error in one sentence.

    raises  UserError with that sentence
    """
    try:
        return table(spark.sql(statement))
    except PySparkException as error:
        raise UserError(_sentence(error.getMessage() or str(error))) from None
    except (ValueError, OverflowError) as error:  # a time that Python cannot hold
        raise UserError(f"a value cannot be shown: {error}") from None
    except Py4JJavaError as error:
        raise UserError(_sentence(str(error.java_exception))) from None


def _sentence(message: str) -> str:
    """The first paragraph of Spark's message, without where in the plan it happened."""
    lines = takewhile(lambda line: line.strip() and not line.startswith("=="), message.strip().splitlines())
    return " ".join(" ".join(lines).split()).partition(" SQLSTATE:")[0]


def table(frame: DataFrame) -> str:
    """The first rows, aligned: numbers to the right, the rest to the left; whole values where nobody is looking."""
    if not frame.columns:
        return "done"
    rows = frame.limit(ROWS_SHOWN + 1).collect()
    width = WIDTH if sys.stdout.isatty() else None
    cells = [[_cell(value, width) for value in row] for row in rows[:ROWS_SHOWN]]
    widths = [max(map(len, column)) for column in zip(frame.columns, *cells, strict=True)]
    right = [any(isinstance(row[n], int | float) for row in rows) for n in range(len(widths))]

    def line(values: list[str]) -> str:
        padded = (v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    rule = line(["-" * width for width in widths])
    return "\n".join([line(frame.columns), rule, *map(line, cells), f"({_counted(len(rows))})"])


def _counted(rows: int) -> str:
    if rows > ROWS_SHOWN:
        return f"the first {ROWS_SHOWN} rows; more with LIMIT and OFFSET"
    return "1 row" if rows == 1 else f"{rows} rows"


def _cell(value: object, width: int | None) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
    text = " ".join(text.split())
    return text if width is None or len(text) <= width else text[: width - 1] + "…"


def _typed() -> Iterator[str]:
    """Statements from the keyboard or a pipe, until its end, `quit` or `exit`."""
    keyboard = sys.stdin.isatty()
    if keyboard:
        _remember()
    text = ""
    while True:
        try:
            line = input(("...> " if text.strip() else "sql> ") if keyboard else "")
        except KeyboardInterrupt:
            text = ""
            print()
            continue
        except EOFError:
            if not keyboard:
                statements, unfinished = split_statements(f"{text}\n;")
                yield from statements or filter(None, [unfinished.strip()])  # Spark says what is wrong with it
            return
        if not text.strip() and line.strip().rstrip(";").lower() in ("quit", "exit"):
            return
        statements, text = split_statements(text + line + "\n")
        yield from statements


def _remember() -> None:
    HISTORY.parent.mkdir(exist_ok=True)
    if HISTORY.is_file():
        readline.read_history_file(HISTORY)
    atexit.register(readline.write_history_file, HISTORY)


def shell(spark: SparkSession) -> bool:
    """Answer statements until there are no more. returns whether all went well"""
    well = True
    for statement in _typed():
        try:
            print(answer(spark, statement), flush=True)
        except UserError as error:
            well = False
            print(error, file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print("stopped")
    return well


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.lake.shell", description=__doc__)
    parser.add_argument("-e", dest="statement", help="answer this statement and end")
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
        sys.exit(f"sql failed: {_sentence(str(error))}")
    known = "\n  ".join([f"Tables and views of {lake.root}:", *names])
    print(f"{known}\nFor example: {EXAMPLE}", file=sys.stderr)
    print("Writes are real; DESCRIBE HISTORY and RESTORE TABLE ... TO VERSION AS OF bring back.", file=sys.stderr)
    print("Statements end with `;`, the shell with `quit` or Ctrl-D.", file=sys.stderr, flush=True)
    well = shell(lake.spark)
    if not well and not sys.stdin.isatty():
        sys.exit(1)


if __name__ == "__main__":
    main()
