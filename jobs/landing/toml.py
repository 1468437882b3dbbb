"""`landing.toml`: what a landing folder says about its files, over `[landing]` in the profile."""

from pathlib import Path
from tomllib import TOMLDecodeError, load

from pydantic import ValidationError

from jobs.lake.errors import UserError
from jobs.landing.settings import Landing

FILE_NAME = "landing.toml"


def load_landing(folder: Path, landing: Landing) -> Landing:
    """Put what `landing.toml` in the folder says over the settings of the profile.

    raises  UserError that names the key, if the file cannot be read or has an unknown key or a wrong value
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return landing
    try:
        with open(path, "rb") as file:
            values = load(file)
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable as TOML in UTF-8: {error}") from None
    merged = landing.model_dump()
    for key, value in values.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merged[key] | value if both else value
    try:
        return Landing.model_validate(merged)
    except ValidationError as error:
        mistakes = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise UserError(f"{path}: {'; '.join(mistakes)}; docs/own-logs.md lists the keys") from None
