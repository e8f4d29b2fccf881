"""Text of other people, made safe for a terminal.

A corpus or a model's answer may contain escape sequences. Printed as they are, they can clear the screen, recolour or
hide lines, set the title, or write to the clipboard.
"""

from __future__ import annotations

import re

# C0 controls but tab and line feed, DEL, C1 controls (U+009B begins a sequence in some terminals), marks and overrides
# of the direction of writing, line and paragraph separators, and lone surrogates, which no terminal can be sent.
_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""Return `text` with every character that acts on a terminal as a visible escape: ``\x1b``, ``\u202e``."""
    return _ACTIVE.sub(_escape, text)


def visible_json(text: str) -> str:
    r"""Return JSON text with these characters as its own escapes, ``\u001b``: an equal value that is safe to print."""
    return _ACTIVE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
