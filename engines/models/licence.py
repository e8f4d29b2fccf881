"""The licence of a model, as the head of its model card states it."""

from __future__ import annotations

import re

from curate.engines.models.checkpoints import adapter_base, is_adapter, resolve_model

_HEAD = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)
_LIST = r"(?:\s*\n(?P<items>(?:[ ]*-[^\n]+\n?)+)|[ \t]*(?P<value>[^\n]*))"


def model_licence(name: str) -> str | None:
    """Return the licence of a model's folder or hub name; None where its card states none.

    An adapter without a card has its base's. ``license: other`` is the name that stands beside it.

    Raises
    ------
    InputError
        If there is no such model.
    """
    folder = resolve_model(name)
    card = folder / "README.md"
    stated = _stated(card.read_text("utf-8", "replace")) if card.is_file() else None
    if stated is None and is_adapter(folder):
        return model_licence(adapter_base(folder))
    return stated


def _stated(card: str) -> str | None:
    head = _HEAD.search(card)
    if head is None:
        return None
    licence = _field(head[1], "license")
    return _field(head[1], "license_name") or licence if licence == "other" else licence


def _field(head: str, name: str) -> str | None:
    """Return the value of a field of the head, or its items by commas; None without one."""
    match = re.search(rf"^{name}:{_LIST}", head, re.MULTILINE)
    if match is None:
        return None
    items = [match["value"]] if match["items"] is None else match["items"].split("\n")
    plain = [item.strip().lstrip("-").partition(" #")[0].strip().strip("[]\"'") for item in items]
    return ", ".join(item for item in plain if item) or None
