"""Fenced code blocks of a Markdown page: language, options and line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    line: int
    language: str
    words: tuple[str, ...]
    """Options after the language, such as ``background`` or ``file=NAME``."""
    text: str

    @property
    def where(self) -> str:
        """Page and line, for messages."""
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """File that the block is written to, None where it has no ``file=NAME``."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    result = []
    for match in _BLOCK.finditer(text):
        language, *words = match["info"].split() or [""]
        result.append(Block(page.name, text.count("\n", 0, match.start()) + 1, language, tuple(words), match["text"]))
    return result
