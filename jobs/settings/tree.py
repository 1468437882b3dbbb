"""The settings of a run: a TOML file for each profile, and environment variables that override it.

`SIDEREAL_RANKER__EPOCHS=5` overrides `[ranker] epochs`. A job with an unknown key or a wrong value stops at its start,
with a message that names the key.
"""

import hashlib
import os
from pathlib import Path
from tomllib import TOMLDecodeError

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from jobs.codebooks.settings import Quantizer
from jobs.encoders.settings import Align, Encoder
from jobs.generation.settings import Generator
from jobs.item_pairs.settings import Ask, Judge, Pairs, TwoTower
from jobs.lake.errors import UserError
from jobs.lake.settings import Maintain
from jobs.landing.settings import Landing, Logs
from jobs.ranking.settings import Ranker, Recommend
from jobs.release.settings import Gate

PROFILES = Path(__file__).parents[2] / "profiles"


class Settings(BaseSettings):
    """All settings of one run, frozen."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="SIDEREAL_", env_nested_delimiter="__")

    profile: str  # name of the profile; must be the name of its file
    landing: Landing = Landing()
    logs: Logs = Logs()
    pairs: Pairs = Pairs()
    two_tower: TwoTower = TwoTower()
    judge: Judge = Judge()
    ask: Ask = Ask()
    encoder: Encoder = Encoder()
    align: Align = Align()
    quantizer: Quantizer = Quantizer()
    generator: Generator = Generator()
    ranker: Ranker = Ranker()
    gate: Gate = Gate()
    recommend: Recommend = Recommend()
    maintain: Maintain = Maintain()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, profile_file(os.environ.get("PROFILE") or "demo"))
        return init_settings, env_settings, toml

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that change when any setting changes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def profile_file(profile: str) -> Path:
    """The TOML file of a profile. raises UserError that lists the profiles if there is none"""
    path = PROFILES / f"{profile}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.toml")))
        raise UserError(f"PROFILE={profile} is unknown; use one of: {known}")
    return path


def load_settings() -> Settings:
    """Read the profile that PROFILE names (by default demo) and the environment.

    raises  UserError that names the key, its value and what was expected
    """
    path = profile_file(os.environ.get("PROFILE") or "demo")
    sections = set(Settings.model_fields)
    for name in os.environ:  # pydantic-settings ignores unknown variables, so a typing error would go unnoticed
        section = name.upper().removeprefix("SIDEREAL_").split("__")[0].lower()
        if name.upper().startswith("SIDEREAL_") and section not in sections:
            raise UserError(f"setting {name} is unknown; sections are: {', '.join(sorted(sections))}")
    try:
        settings = Settings()
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable as TOML in UTF-8: {error}") from None
    except SettingsError as error:
        raise UserError(
            f"{error}: lists and tables are written as JSON, for example SIDEREAL_QUANTIZER__SIZES=[64,64,256] or"
            ' SIDEREAL_RANKER__LISTS={"click":30}'
        ) from None
    except ValidationError as error:
        mistakes = map(_describe_mistake, error.errors())
        raise UserError(f"{'; '.join(mistakes)} (from {path.name} or SIDEREAL_* variables)") from None
    if settings.profile != path.stem:
        raise UserError(f"setting profile of {path.name} is wrong: expected {path.stem!r}, got {settings.profile!r}")
    return settings


def _describe_mistake(error: ErrorDetails) -> str:
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"setting {key} is unknown"
    # An address may hold a password or key, and a whole section is long: neither is repeated.
    is_hidden = key.endswith("endpoint") or isinstance(error["input"], dict)
    value = "" if is_hidden else f", got {error['input']!r}"
    message = error["msg"].removeprefix("Value error, ").lower().replace("a valid tuple", "a list")
    return f"setting {key} is wrong: {message}{value}"
