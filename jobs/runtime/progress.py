"""Progress of anything that takes more than a few seconds: one line on standard error, not too often."""

import sys
import time
from collections.abc import Callable


def progress(what: str, every: float = 3.0) -> Callable[[int, int], None]:
    """A callback `(done, total)` that tells how far `what` is, at most every few seconds and at the end."""
    started = last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < every and done < total:
            return
        last = now
        share = done / total if total else 1.0
        bar = "#" * round(20 * share)
        print(f"{what} [{bar:<20}] {done:,} of {total:,}, {now - started:.0f} s", file=sys.stderr, flush=True)

    return tell


def steps() -> Callable[[str], None]:
    """A callback that tells what is being done now, and how long the job has been at it."""
    started = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - started:.0f} s: {what}", file=sys.stderr, flush=True)

    return tell
