"""Characters that act on a terminal are shown, and all others stay."""

from __future__ import annotations

import json
import unicodedata

import pytest

from curate.schemas.terminal_text import visible, visible_json

HARMLESS = "Grüße, 你好, עברית, 👩‍👩‍👧, “quotes”\tand\nlines — naïve\u00a0space"


def test_harmless_text_stays() -> None:
    assert visible(HARMLESS) == visible_json(HARMLESS) == HARMLESS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\x08", r"a\x0db\x08"),
        ("\u202eevil", r"\u202eevil"),
        ("\ud800", r"\ud800"),
    ],
)
def test_active_text_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert json.loads(visible_json(json.dumps(text, ensure_ascii=False))) == text


def test_no_control_character_is_left() -> None:
    every = "".join(map(chr, range(0x110000)))
    kept = {character for character in visible(every) if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")}
    assert kept == {"\t", "\n"}
