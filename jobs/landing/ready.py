"""Say whether the log files of a day are complete. The DAG's task `wait` asks this until they are.

    python -m jobs.landing.ready --day 2026-11-20 --data landing [--waiting-since 2026-11-21T00:00:00+00:00]

A day is complete if its folder holds a file `_SUCCESS`, or if the landing folder has events of the day and no file of
the day has changed for `[landing] settle_seconds`. Files outside day folders belong to every day.
The last line on standard output is a JSON object. If `ready` is false, `seconds` says when to look again. The exit code
is 1 if the time to wait is over.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from jobs.lake import Lake, UserError
from jobs.lake.lake import lake_root
from jobs.landing.days import list_event_days
from jobs.landing.files import LandingFile, list_day_folders, list_landing_files
from jobs.landing.folder import LandingFolder, parse_folder
from jobs.landing.settings import Landing
from jobs.landing.toml import FILE_NAME, load_landing
from jobs.runtime.entry import error_sentence, parse_day, use_last_profile
from jobs.runtime.printable import printable
from jobs.settings.tree import load_settings

SUCCESS = "_SUCCESS"
SECONDS_BETWEEN_LOOKS = 60.0


@dataclass(frozen=True)
class Readiness:
    """Whether the files of a day can be read, the reason, and the seconds after which to look again."""

    ready: bool
    reason: str
    seconds: float = 0.0


def check_readiness(
    folder: LandingFolder, day: date, landing: Landing, now: datetime, waiting_since: datetime | None = None
) -> Readiness:
    """Look once whether the files of a day are complete.

    West of Greenwich, a day goes on for hours after its end in UTC ([landing] day_zone), and so does the wait.
    A day without events is waited for until `wait_hours` after its end, so a backfill does not wait. Files that keep
    changing are waited for at least `wait_hours` after `waiting_since`, when the DAG run began.

    raises  UserError if the landing folder is missing, if its landing.toml is wrong or unchecked, or if the time to
            wait is over
    """
    if isinstance(folder, Path) and not folder.is_dir():  # in an object store, a folder is there with its first file
        raise UserError(f"landing folder {folder} does not exist; create it, or check --data (or DATA=)")
    if any((folder / name / SUCCESS).exists() for name in list_day_folders(day)):
        return Readiness(True, f"the folder of {day} holds {SUCCESS}")
    landing = load_landing(folder, landing)  # raises at once: no wait makes it right
    end_of_day = datetime.combine(day + timedelta(days=1), time(), UTC)
    deadline = end_of_day + timedelta(hours=landing.wait_hours)
    local_end = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(landing.day_zone))
    if end_of_day <= now < local_end:  # the run of a schedule in UTC begins before the day is over
        reason = f"{day} ends at {local_end.astimezone(UTC):%H:%M} UTC in {landing.day_zone} ([landing] day_zone)"
        return Readiness(False, reason, (local_end - now).total_seconds())
    try:
        files = [file for file in list_landing_files(folder, landing).files if file.day in (day, None)]
    except UserError as error:  # no file has come, or one that is not complete has a name of its own
        return _wait_for_events(str(error), day, landing, now, deadline)
    ages = {file.name: _seconds_since_change(file, now) for file in files}
    newest = min(ages, key=lambda name: ages[name], default="")
    if files and ages[newest] < landing.settle_seconds:
        reason = f"{newest} changed less than {landing.settle_seconds} s ago"
        if now > max(end_of_day, waiting_since or now) + timedelta(hours=landing.wait_hours):
            raise UserError(
                f"{reason} and has kept changing for {landing.wait_hours:g} hours ([landing] wait_hours): finish the"
                f" upload, or put an empty file {SUCCESS} into the folder of the day"
            )
        return Readiness(False, reason, min(landing.settle_seconds - ages[newest], SECONDS_BETWEEN_LOOKS))
    if any(file.kind == "events" and file.day == day for file in files) or str(day) in list_event_days(folder, landing):
        return Readiness(True, f"no file of {day} has changed for {landing.settle_seconds} s")
    return _wait_for_events(f"{folder} holds no events of {day}", day, landing, now, deadline)


def _wait_for_events(reason: str, day: date, landing: Landing, now: datetime, deadline: datetime) -> Readiness:
    if now <= deadline:
        return Readiness(False, f"{reason}; waiting until {deadline:%Y-%m-%d %H:%M} UTC", SECONDS_BETWEEN_LOOKS)
    if landing.may_be_empty:
        return Readiness(True, f"{reason}, and may_be_empty allows it")
    raise UserError(
        f"{reason}; the wait for {day} ended on {deadline:%Y-%m-%d %H:%M} UTC ([landing] wait_hours ="
        f" {landing.wait_hours:g}): land the files, or, if a day may have none, write may_be_empty = true at the"
        f" top of {FILE_NAME} in the landing folder"
    )


def _seconds_since_change(file: LandingFile, now: datetime) -> float:
    # The time lies ahead of `now` if the file is on a machine whose clock is ahead.
    return max(0.0, (now - file.changed).total_seconds())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.landing.ready", description=__doc__)
    parser.add_argument("--day", type=parse_day, required=True, help="the day to process, such as 2026-11-20")
    parser.add_argument("--data", type=parse_folder, required=True, help="landing folder")
    parser.add_argument("--waiting-since", type=datetime.fromisoformat, help="when the DAG run began")
    try:
        options = vars(parser.parse_args())
    except SystemExit as stop:  # argparse exits with 2, after which the DAG would try again
        sys.exit(1 if stop.code else 0)
    try:
        use_last_profile(Lake(lake_root()))
        landing = load_settings().landing
        readiness = check_readiness(options.pop("data"), landing=landing, now=datetime.now(UTC), **options)
    except UserError as error:
        sys.exit(printable(f"wait failed: {error}"))
    except OSError as error:  # such as an object store that does not answer: the DAG tries again
        print(printable(f"wait failed: {error_sentence(error)}"), file=sys.stderr, flush=True)
        sys.exit(2)
    state = "ready" if readiness.ready else "waiting"
    print(printable(f"{state}: {readiness.reason}"), file=sys.stderr, flush=True)
    print(json.dumps(asdict(readiness)), flush=True)


if __name__ == "__main__":
    main()
