"""The decoder layers that a setting names: ``all``, numbers and ranges as in ``3,5-9``, or ``auto:4``."""

from __future__ import annotations

ALL = "all"
LAYERS_PATTERN = r"^(all|auto:[1-9][0-9]{0,3}|[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*)$"


def automatic(text: str) -> int | None:
    """Return N of ``auto:N``, None for any other text."""
    name, _, number = text.partition(":")
    return int(number) if name == "auto" else None


def named(text: str) -> tuple[int, ...]:
    """Return the layers of a text such as ``3,5-9``, ascending and each once; ``9-5`` names none."""
    layers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        layers.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(layers))
