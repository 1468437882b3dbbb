"""Progress of anything that takes more than a few seconds, on standard error.

A terminal shows a live bar. A log gets plain lines, not too many of them:

    training champion  1,200 of 4,000  30 %  about 12 s left

While a job runs, a log that stays silent repeats its last step every few seconds, with the time so far.
"""

import atexit
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from jobs.runtime.printable import printable


def progress(what: str, every: float = 3.0) -> Callable[[int, int], None]:
    """Make a callback `(done, total)` that reports how far `what` is.

    every  seconds from one line to the next in a log; the end has a line always
    """
    is_terminal = sys.stderr.isatty()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), _FarColumn(),
        console=Console(stderr=True), transient=True, redirect_stdout=False, disable=not is_terminal,
        speed_estimate_period=600,  # a language model may take minutes from one call to the next
    )  # fmt: skip
    bar.add_task(printable(what))
    (task,) = bar.tasks
    started = last_line = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last_line
        bar.update(task.id, completed=done, total=total)
        now = time.monotonic()
        if done >= total:
            bar.stop()
            _pulse.step = _pulse.job
            _print(f"{what}  {_how_far(task)}  in {_duration(now - started)}")
        elif is_terminal:
            _show(bar)
        elif now - last_line >= every:
            last_line = now
            _pulse.step = f"{what}  {_how_far(task)}"
            _print(f"{what}  {_how_far(task)}{_time_left(task)}")

    return report


def steps() -> Callable[[str], None]:
    """Make a callback that reports which step begins, and how long the job has been running."""
    started = time.monotonic()

    def report(step: str) -> None:
        _pulse.step = step
        _print(f"{step}  (after {_duration(time.monotonic() - started)})")

    return report


@contextmanager
def step(what: str) -> Iterator[None]:
    """Report a step that ends with the `with` block."""
    steps()(what)
    try:
        yield
    finally:
        _pulse.step = _pulse.job


@contextmanager
def heartbeat(job: str, every: float = 10.0) -> Iterator[None]:
    """While the block runs, repeat the job's current step whenever nothing was printed for `every` seconds."""
    started = time.monotonic()
    _pulse.job = _pulse.step = f"{job} is running"
    _pulse.last_line = started
    stopped = threading.Event()

    def repeat() -> None:
        while not stopped.wait(every / 10):
            now = time.monotonic()
            if now - _pulse.last_line >= every and not _shown:
                _print(f"{_pulse.step}  (after {_duration(now - started)})")

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()  # its line must not follow the job's last line


class _Pulse:
    """The job of this process, its current step, and when it last printed a line (monotonic seconds)."""

    job = ""
    step = ""
    last_line = 0.0


_pulse = _Pulse()


def _print(line: str) -> None:
    _pulse.last_line = time.monotonic()
    print(printable(line), file=sys.stderr, flush=True)


class _FarColumn(ProgressColumn):
    """The numbers to the right of the bar."""

    def render(self, task: Task) -> Text:
        return Text(_how_far(task) + _time_left(task))


_shown: list[Progress] = []  # the bar on the terminal


def _show(bar: Progress) -> None:
    """Put the bar on the terminal in place of one whose work ended before its total."""
    if bar not in _shown:
        _hide()
        _shown.append(bar)
        bar.start()


@atexit.register
def _hide() -> None:
    for bar in _shown:
        bar.stop()
    _shown.clear()


def _how_far(task: Task) -> str:
    total = int(task.total or 0)
    share = task.completed / total if total else 1.0
    return f"{int(task.completed):,} of {total:,}  {share:.0%}".replace("%", " %")


def _time_left(task: Task) -> str:
    return "" if task.time_remaining is None else f"  about {_duration(task.time_remaining)} left"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"
