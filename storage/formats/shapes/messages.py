"""Reads chat-API rows: ``messages``, a list of turns with ``role`` and ``content``; also ``system`` and ``tools``.

A content may be a list of text parts, which are concatenated; ``tool_calls`` become a turn of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.storage.formats.shapes.columns import CONVERSATIONS, MESSAGES, SYSTEM, TOOLS
from curate.storage.formats.shapes.texts import first_filled

if TYPE_CHECKING:
    from curate.storage.formats.shapes.texts import Conversation, Values
    from curate.storage.formats.shapes.turn_lists import TurnReader

NEEDS = (MESSAGES,)
OPTIONAL = (CONVERSATIONS, SYSTEM, TOOLS)


def read(values: Values, reader: TurnReader) -> Conversation:
    """Return the conversation of one row; RowProblem if it has none."""
    return reader.conversation(values, first_filled(values, MESSAGES + CONVERSATIONS))
