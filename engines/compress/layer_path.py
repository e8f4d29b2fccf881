"""Layers to keep, written as a path: ``0-7,9-29``, the form in which ``curate diagnose paths`` prints one."""

from __future__ import annotations

import re

from curate.schemas.errors import UsageError

_RUN = re.compile(r"(\d+)(?:-(\d+))?")


def parse_path(text: str) -> list[int]:
    """Return the layers of a path, ascending.

    Raises
    ------
    UsageError
        If `text` is no list of layers and runs of layers, or a layer comes twice or before an earlier one: a path only
        skips.
    """
    layers: list[int] = []
    for part in text.replace("–", "-").split(","):
        run = _RUN.fullmatch(part.strip())
        if run is None:
            raise UsageError(f"path {text!r} is not a list of layers such as 0-7,9-29: {part.strip()!r} is none")
        first, last = int(run[1]), int(run[2] or run[1])
        if first > last or (layers and first <= layers[-1]):
            raise UsageError(
                f"path {text!r} does not ascend at {part.strip()!r}; a layer can be left out, not repeated or moved"
            )
        layers.extend(range(first, last + 1))
    return layers


def removed_by_path(text: str, n_layers: int) -> list[int]:
    """Return the layers of a model that a path leaves out, ascending.

    Raises
    ------
    UsageError
        If the model lacks a layer of the path, or the path leaves none out.
    """
    kept = parse_path(text)
    if kept[-1] >= n_layers:
        raise UsageError(f"path {text!r} has layer {kept[-1]}, but the model's layers are 0 to {n_layers - 1}")
    removed = sorted(set(range(n_layers)) - set(kept))
    if not removed:
        raise UsageError(f"path {text!r} has all {n_layers} layers of the model; leave out those to remove")
    return removed
