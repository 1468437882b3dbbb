"""`landing.toml`: what a landing folder says about its files, over `[landing]` in the profile."""

from pathlib import Path
from tomllib import TOMLDecodeError, loads
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jobs.lake.errors import UserError
from jobs.landing.dialect import Dialect, find_similar
from jobs.landing.folder import LandingFolder
from jobs.landing.settings import Landing

FILE_NAME = "landing.toml"
PRESETS = Path(__file__).parent / "presets"


def load_landing(folder: LandingFolder, landing: Landing, with_guesses: bool = False) -> Landing:
    """Put what `landing.toml` in the folder says over its preset, and that over the settings of the profile.

    raises  UserError that names the key, if the file cannot be read, has an unknown key or a wrong value, or, unless
            `with_guesses`, if it holds guesses that nobody has checked
    """
    path = folder / FILE_NAME
    values = _read(path) if path.is_file() else {}
    preset = values.get("preset", landing.preset)
    merged = landing.model_dump()
    if isinstance(preset, str) and (preset_path := PRESETS / f"{Path(preset).name}.toml").is_file():
        merged = _merge(merged, _read(preset_path))
    try:
        landing = Landing.model_validate(_merge(merged, values))
    except ValidationError as error:
        mistakes = "; ".join(map(_describe_mistake, error.errors()))
        raise UserError(f"{path}: {mistakes}; docs/own-logs.md lists the keys") from None
    if landing.unchecked and not with_guesses:
        raise UserError(f"{path} holds guesses: check the lines marked GUESS, then delete the line `unchecked = true`")
    return landing


def _describe_mistake(error: ErrorDetails) -> str:
    *section, key = map(str, error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{'.'.join([*section, key])}: {error['msg'].removeprefix('Value error, ')}"
    if key == "landing":
        return "landing is no key: write its keys at the top of the file, without [landing]"
    known = Dialect.model_fields if section else Landing.model_fields
    if section and key in Landing.model_fields:
        return f"{key} is no key of [{section[0]}]: write it at the top of the file, above the first [...]"
    if not section and key in Dialect.model_fields:
        return f"{key} is no key at the top of the file: write it below [events] or [items]"
    where = f" of [{section[0]}]" if section else " at the top of the file"
    return f"{key} is no key{where}{find_similar(key, known)}; keys are {', '.join(known)}"


def _read(path: LandingFolder) -> dict[str, Any]:
    try:
        return loads(path.read_bytes().decode())
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable as TOML in UTF-8: {error}") from None


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key, such as [events.names]; any other value replaces the one below it."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged
