"""Reads ShareGPT rows: ``conversations``, turns with ``from`` and ``value``; also ``system``, ``tools``.

The turns themselves (roles, tool calls, contents) are parsed in `curate.storage.formats.shapes.turn_lists`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.storage.formats.shapes.columns import CONVERSATIONS, MESSAGES, SYSTEM, TOOLS
from curate.storage.formats.shapes.texts import Conversation, Values, first_filled

if TYPE_CHECKING:
    from curate.storage.formats.shapes.turn_lists import TurnReader

NEEDS = (CONVERSATIONS,)
OPTIONAL = (MESSAGES, SYSTEM, TOOLS)


def read(values: Values, reader: TurnReader) -> Conversation:
    """Return the conversation of one row; RowProblem if it has none."""
    return reader.conversation(values, first_filled(values, CONVERSATIONS + MESSAGES))
