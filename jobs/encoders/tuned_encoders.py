"""Tuned encoders: which of them exist, and which encoder is live on a day."""

import re
import sys
from datetime import date
from typing import Any

import pyarrow.dataset as ds

from jobs.encoders.location import EncoderRef, encoder_location, encoder_version
from jobs.encoders.settings import Encoder
from jobs.lake import Lake
from jobs.release.model_store import is_stored, local_folder
from jobs.release.releases import live_release
from jobs.settings.tree import Settings

TABLE = "gold.encoders"


def base_encoder(settings: Settings) -> EncoderRef:
    """The encoder that the settings name, not tuned."""
    return EncoderRef(encoder_location(settings.encoder), encoder_version(settings.encoder))


def live_encoder(lake: Lake, settings: Settings, day: date) -> EncoderRef:
    """The newest tuned encoder that went live by this day; the base encoder if there is none or tuning is off."""
    base = base_encoder(settings)
    if not settings.align.every_days:
        return base
    rows = _load_rows(lake, base.version, (ds.field("day") <= day) & ds.field("live"))
    return tuned_encoder(lake, rows[0]["encoder_version"]) if rows else base


def champion_encoder(
    lake: Lake, settings: Settings, day: date, current: EncoderRef
) -> tuple[EncoderRef, Settings] | None:
    """The encoder of the release that is live before this day, and the settings with its token limit.

    returns  None if there is no release, if its encoder is `current`, or if its encoder cannot be found: it is neither
             in the lake nor named by the settings nor the default encoder
    """
    release = live_release(lake, before=str(day))
    if release is None or release["encoder_version"] == current.version:
        return None
    encoder = find_encoder(lake, settings, str(release["encoder_version"]))
    if encoder is None:
        version = release["encoder_version"]
        print(f"the live model's encoder {version} cannot be found: new items get no vector from it", file=sys.stderr)
    return encoder


def find_encoder(lake: Lake, settings: Settings, version: str) -> tuple[EncoderRef, Settings] | None:
    """The encoder of a version, and the settings with its token limit.

    returns  None if it is neither in the lake nor named by the settings nor the default encoder
    """
    limits = re.findall(r"-t(\d+)", version)
    limit = int(limits[-1]) if limits else settings.encoder.max_tokens
    with_limit = settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"max_tokens": limit})})
    if is_stored(lake, encoder_folder(version)):
        return tuned_encoder(lake, version), with_limit
    default_model = with_limit.encoder.model_copy(update={"model": Encoder().model})
    default = with_limit.model_copy(update={"encoder": default_model})
    for encoder in map(base_encoder, (with_limit, default)):
        if encoder.version == version:
            return encoder, with_limit
    return None


def load_tunings(lake: Lake, settings: Settings, day: date) -> list[dict[str, Any]]:
    """The rows of gold.encoders up to and including this day, newest first."""
    return _load_rows(lake, base_encoder(settings).version, ds.field("day") <= day)


def encoder_folder(version: str) -> str:
    """The folder of a tuned encoder, relative to the lake."""
    return f"models/encoders/{version}"


def tuned_encoder(lake: Lake, version: str) -> EncoderRef:
    """The tuned encoder of this version, in a local folder: that of the lake, or a copy of it."""
    return EncoderRef(str(local_folder(lake, encoder_folder(version))), version)


def _load_rows(lake: Lake, base_version: str, where: ds.Expression) -> list[dict[str, Any]]:
    rows = lake.arrow(TABLE, where=where & (ds.field("base_version") == base_version))
    newest_first: list[dict[str, Any]] = rows.sort_by([("day", "descending")]).to_pylist()
    return newest_first
