"""Write days of simulated logs as a landing folder.

    python -m jobs.simulate --day 2026-11-20 --days 10 --out landing

--day is the last of the --days days. Writes <out>/<day>/events.jsonl.gz and items.jsonl.gz (or .parquet), and
<out>/_truth.json: the best AUC that any model could reach on each day. The same flags give the same bytes.
This command writes no table, so it needs no lake and no profile.
"""

import argparse
import json
import sys
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

from jobs.simulation.landing import write_landing


def main() -> int:
    arguments = vars(_parse_arguments())
    last_day, day_count = arguments.pop("day"), arguments.pop("days")
    started = time.perf_counter()
    try:
        days = [last_day - timedelta(days=n) for n in reversed(range(day_count))]
        summary = write_landing(days=days, **arguments)
    except (ValueError, OSError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    totals: Counter[str] = Counter()
    for row in summary:
        totals.update({name: count for name, count in row.items() if isinstance(count, int)})
    print(json.dumps({"days": len(summary), **totals, "seconds": round(time.perf_counter() - started, 2)}))
    return 0


def _parse_arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", type=date.fromisoformat, required=True, help="the last day")
    parser.add_argument("--days", type=int, default=10, help="number of days")
    parser.add_argument("--out", type=Path, required=True, help="the landing folder to write")
    parser.add_argument("--items", type=int, default=2_000, help="number of items on the first day")
    parser.add_argument("--users", type=int, default=600)
    parser.add_argument("--events-per-day", type=int, default=12_000, help="roughly")
    parser.add_argument("--new-items-per-day", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--format", choices=["jsonl", "parquet"], default="jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
