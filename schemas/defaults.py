"""Defaults and help texts of dataclass fields. Standard library only."""

from __future__ import annotations

from dataclasses import MISSING, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

OTHER_DEVICES = "other"

BATCH_TOKENS = {"cpu": 4096, OTHER_DEVICES: 32768}
"""Default tokens per forward pass, padding included, by device type."""

TRAINING_BATCH_TOKENS = {"cpu": 4096, OTHER_DEVICES: 16384}
"""The same for training, which also keeps activations for the backward pass."""

CHUNK_LOGITS = {"cpu": 1 << 23, OTHER_DEVICES: 1 << 26}
"""Logits in memory at a time, in each of the copies that a loss needs (32 and 256 MiB in float32). A GPU reads the
whole output head for each chunk, which takes longer than the arithmetic of a small one."""


def option(default: Any, about: str, *, later: bool = False) -> Any:
    """Return a dataclass field that carries its help text: a setting of a selection method.

    Parameters
    ----------
    default : any
        Immutable value when nothing is given.
    about : str
        Help text with unit and range; the default is appended where it is printed.
    later : bool
        Whether the method existed before the setting; see `identifying`.
    """
    return field(default=default, metadata={"about": about, "later": later})


def identifying(settings: Any) -> dict[str, Any]:
    """Return the settings of a dataclass instance that belong in an artefact's id.

    Those added later are left out at their default, which stands for what the method did before: otherwise a new
    setting would change the ids of everything made without it.
    """
    values = {item.name: getattr(settings, item.name) for item in fields(settings)}
    later = {item.name: item.default for item in fields(settings) if item.metadata.get("later")}
    return {name: value for name, value in values.items() if name not in later or value != later[name]}


def default_of(owner: type[Any], name: str) -> Any:
    """Return the default of a dataclass field, for other declarations of the same setting."""
    for item in fields(owner):
        if item.name == name and item.default is not MISSING:
            return item.default
    raise AttributeError(f"{owner.__name__} has no field {name!r} with a default")


def by_device(tokens: Mapping[str, int]) -> str:
    """Return defaults that depend on the device as a help text shows them."""
    return f"{tokens['cpu']} on a CPU, {tokens[OTHER_DEVICES]} elsewhere"


def format_default(value: object) -> str:
    """Return a default as it is typed on the command line; empty for None and bools."""
    # pydantic's marker of a required field, compared by its text: importing pydantic here would slow every start.
    if value is None or isinstance(value, bool) or repr(value) == "PydanticUndefined":
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}" if value >= 1e-3 or value == 0 else f"{value:.0e}".replace("e-0", "e-")
    return str(value)
