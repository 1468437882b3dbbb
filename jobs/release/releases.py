"""Which release is live, and which models were live before it."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake import Lake

Release = dict[str, Any]  # a row of gold.releases


def live_release(lake: Lake, before: str | None = None) -> Release | None:
    """The live release, None if there is none. before: the newest release of the days before this one"""
    return next(iter(list_releases(lake, before)), None)


def latest_generator(lake: Lake, before: str) -> str | None:
    """Where the files are of the newest generator that was live before a day and was not rolled back.

    It is the generator of the live release. If that has none, because the generator of its day was not good enough or
    not wanted, the releases before it count.
    """
    releases = list_releases(lake, before)
    while releases:
        newest, *releases = releases
        if newest["generator_uri"]:
            return str(newest["generator_uri"])
        if newest["kind"] == "rollback":  # what it undid does not count
            origin = find_origin(releases, newest)
            releases = [release for release in releases if release["release"] < origin["release"]]
    return None


def find_origin(releases: list[Release], release: Release) -> Release:
    """The daily release behind a release: the release itself or, for a rollback, the release that it restored.

    releases  the newest first
    """
    number, models, tables = release["release"], models_of(release), dict(release["tables"])
    return next(
        daily
        for daily in releases
        if daily["kind"] != "rollback" and daily["release"] <= number
        # A rollback copies the row. The versions of tables tell apart days that published the same models.
        and models_of(daily) == models and dict(daily["tables"]) == tables
    )  # fmt: skip


def find_rollback(releases: list[Release]) -> Release | None:
    """The release that a rollback makes live again: the newest one with another ranker or another generator.

    releases  the newest first, at least one
    """
    live = releases[0]
    origin = find_origin(releases, live)  # if the live release is a rollback, a second rollback goes further back
    # Rollbacks count, too: the newest row before a release is what was live, not what had been rolled back.
    older = [release for release in releases if release["release"] < origin["release"]]
    return next((release for release in older if models_of(release) != models_of(live)), None)


def models_of(release: Release) -> tuple[str, str | None]:
    """The ranker and the generator of a release."""
    return release["model_version"], release["generator_uri"]


def list_releases(lake: Lake, before: str | None = None) -> list[Release]:
    """All releases, or those of the days before a day, the newest first."""
    rows = lake.arrow("gold.releases")
    if before is not None:
        rows = rows.filter(pc.less(rows["day"], pa.scalar(before).cast(pa.date32())))
    releases: list[Release] = rows.sort_by([("release", "descending")]).to_pylist()
    return releases
