"""The settings of one run, resolved: flags > ``CURATE_*`` in the environment > ``curate.toml`` > defaults.

`curate.schemas.sections` declares them. A nested setting in the environment has a double underscore:
``CURATE_SELECT__BUDGET=0.2``. Unknown keys are errors.
"""

from __future__ import annotations

import os
import re
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from curate.schemas.errors import UsageError, did_you_mean
from curate.schemas.sections import RunSettings


class Settings(RunSettings, BaseSettings):
    """All settings of a run, resolved."""

    model_config = SettingsConfigDict(
        env_prefix="CURATE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        toml_file="curate.toml",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put flags before the environment, and that before ``curate.toml``."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def resolve(flags: dict[str, Any]) -> Settings:
    """Return the settings of a run from its flags, the environment and ``curate.toml``.

    Parameters
    ----------
    flags : dict
        What was passed explicitly, nested by section; ``None`` values must have been dropped.

    Raises
    ------
    UsageError
        If a key is unknown (with the nearest known one) or a value is out of range; also if the file is not TOML.
    """
    import tomllib

    try:
        return Settings(**flags)
    except ValidationError as error:
        raise UsageError(_explain(error)) from error
    except SettingsError as error:
        raise UsageError(_explain_environment(error)) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"curate.toml is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"curate.toml is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error


def _explain_environment(error: SettingsError) -> str:
    """Return a sentence for a variable that should hold JSON: pydantic names its field only, and not its value."""
    match = re.search(r'field "(\w+)"', str(error))
    start = f"CURATE_{match[1] if match else ''}".upper()
    given = {name: value for name, value in os.environ.items() if name.upper().startswith(start)}
    named = ", ".join(f"{name}={value!r}" for name, value in sorted(given.items())) or start
    return (
        f"{named} in the environment is not JSON; write lists and tables as JSON, as in "
        """CURATE_CORPUS='["a.jsonl"]', and single settings as in CURATE_SELECT__BUDGET=0.2"""
    )


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    path = [str(step) for step in first["loc"]]
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        section: Any = Settings
        for step in path[:-1]:
            section = section.model_fields[step].annotation
        return f"unknown setting {name!r}{did_you_mean(path[-1], list(section.model_fields))}"
    return f"setting {name!r} is {first['input']!r}: {first['msg'].lower()}"
