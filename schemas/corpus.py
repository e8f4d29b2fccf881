"""Examples of a corpus: canonical conversations, their ids, and the schemas of the corpus artefact.

Every input shape (alpaca, sharegpt, messages, …) becomes the same list of turns. All assistant turns are supervised,
unless their source says otherwise; a tool call is an assistant turn, since the model must produce it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from curate.schemas.artefacts import digest

Role = Literal["system", "user", "assistant", "tool"]

ID_DIGITS = 20
"""Hexadecimal digits of an example id: 80 bits, so a collision among 100 M rows has probability about 1e-8."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    role: Role
    content: str
    tool_call: bool = False
    """True where an assistant turn is a function call (ShareGPT's ``function_call``), kept for exports."""
    supervised: bool = True
    """False where an assistant turn is context only, as its source states (``weight: 0``)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One canonical conversation and its position in the source."""

    turns: tuple[Turn, ...]
    source: str
    """Name of the file or dataset it was read from."""
    row: int
    """Row (line for JSON lines) in that source, counted from 1."""
    tools: str | None = None
    """JSON text of the tools that the conversation may call, as in the source."""
    licence: str | None = None
    group: str | None = None
    """Value of the column that ``--map group=COLUMN`` names: the row's capability, subject or task."""

    @property
    def id(self) -> str:
        """Digest of the conversation and its tools, independent of the source."""
        return example_id(self.turns, self.tools)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that cannot be used, with the reason; no row is dropped silently."""

    source: str
    row: int
    column: str | None
    reason: str
    """One clause for the user: ``"not valid JSON (Expecting ',' delimiter at character 17)"``."""
    sample: str
    """The start of the row's text (at most 200 characters), safe to print."""


def example_id(turns: tuple[Turn, ...], tools: str | None = None) -> str:
    """Return the id of a conversation; equal text gives equal ids in every file."""
    # Supervised turns have no fourth item: ids from before turns could be context only stay the same.
    marks: dict[bool, list[object]] = {True: [], False: [False]}
    body: list[object] = [[turn.role, turn.content, turn.tool_call, *marks[turn.supervised]] for turn in turns]
    # Without tools the list is not wrapped: ids from before tools were supported stay the same.
    return digest([body, tools] if tools else body, ID_DIGITS)


def prompt_text(turns: tuple[Turn, ...] | list[Turn]) -> str:
    """Return the user turns joined by blank lines: the text that is embedded (PASER, arXiv 2502.12594 §3.1)."""
    return "\n\n".join(turn.content for turn in turns if turn.role == "user")


def response_text(turns: tuple[Turn, ...] | list[Turn]) -> str:
    """Return the supervised turns joined by blank lines."""
    return "\n\n".join(turn.content for turn in turns if turn.role == "assistant" and turn.supervised)


def message_of(turn: Turn) -> dict[str, object]:
    """Return one item of a ``messages`` value."""
    return {f.name: getattr(turn, f.name) for f in MESSAGES.value_type}


MESSAGES = pa.list_(
    pa.struct(
        [
            pa.field("role", pa.string(), nullable=False),
            pa.field("content", pa.string(), nullable=False),
            pa.field("tool_call", pa.bool_(), nullable=False),
            # Null, and absent in corpora of older versions, where every assistant turn is supervised.
            pa.field("supervised", pa.bool_()),
        ]
    )
)

EXAMPLES = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("messages", MESSAGES, nullable=False),
        pa.field("tools", pa.string()),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("response", pa.string(), nullable=False),
        pa.field("n_turns", pa.int32(), nullable=False),
    ]
)
"""Main table of a corpus: one row per distinct conversation, in the order of first occurrence."""

SOURCES = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("licence", pa.string()),
        pa.field("group", pa.string()),
    ]
)
"""Side table ``sources``: one row per usable input row, including duplicates. A corpus that was read before groups were
known has no column ``group``."""

QUARANTINE = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("column", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("sample", pa.string(), nullable=False),
    ]
)
"""Side table ``quarantine``: one row per unusable input row."""


def turns_of(messages: list[dict[str, object]]) -> tuple[Turn, ...]:
    """Return the turns of one value of the ``messages`` column."""
    return tuple(
        Turn(m["role"], m["content"], bool(m["tool_call"]), m.get("supervised") is not False)  # type: ignore[arg-type]
        for m in messages
    )
