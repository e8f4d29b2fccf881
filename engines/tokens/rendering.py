"""Renders a conversation as text and locates the characters that the model is trained to produce.

`PlainRenderer` is an Alpaca-like layout for tokenizers without a chat template; `chat_rendering` uses the tokenizer's
own. Both return the text with the spans of the assistant turns, end-of-turn marker included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from curate.schemas.corpus import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADERS = {"system": "### System:\n", "user": "### Instruction:\n", "tool": "### Tool result:\n"}
TOOLS_HEADER = "### Tools:\n"
RESPONSE_HEADER = "### Response:\n"
SEPARATOR = "\n\n"

PLAIN_VERSION = 1
"""Raised by hand when the plain layout changes."""


class RenderingError(Exception):
    """One conversation cannot be rendered; its row gets a status and the run continues."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as text."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """Character ranges [start, end) of the assistant turns, in order; blank assistant turns have none."""


class Renderer(Protocol):
    """Turns conversations into text."""

    @property
    def name(self) -> str:
        """Name in the manifest."""

    def render(self, turns: Sequence[Turn], tools: str | None) -> Rendered:
        """Return the text of one conversation, or raise `RenderingError`."""

    def source(self) -> object:
        """Return everything that determines the text, JSON-able, for the digest."""


@dataclass(frozen=True)
class PlainRenderer:
    """Sections under headers, one per turn, blank lines between; an assistant turn ends with the end-of-text token.

    ``### Instruction:`` user, ``### Response:`` assistant, ``### System:`` system, ``### Tool result:`` tool,
    ``### Tools:`` first of all when the example lists tools. Each header stands on its own line.
    """

    end_of_turn: str
    """Text of the tokenizer's end-of-text token, empty when it has none."""
    name: str = "plain"

    def render(self, turns: Sequence[Turn], tools: str | None) -> Rendered:
        """Return the text of one conversation; never fails."""
        pieces = [TOOLS_HEADER, tools, SEPARATOR] if tools else []
        length = sum(map(len, pieces))
        spans = []
        for turn in turns:
            header = HEADERS.get(turn.role, RESPONSE_HEADER)
            body = turn.content + (self.end_of_turn if turn.role == "assistant" else "")
            if turn.role == "assistant" and turn.content.strip():
                spans.append((length + len(header), length + len(header) + len(body)))
            pieces += [header, body, SEPARATOR]
            length += len(header) + len(body) + len(SEPARATOR)
        return Rendered("".join(pieces[:-1]), tuple(spans))

    def source(self) -> object:
        """Return the layout's version and marker."""
        return ["plain", PLAIN_VERSION, self.end_of_turn]


def without_context(rendered: Rendered, turns: Sequence[Turn]) -> Rendered:
    """Return the text with the spans of the supervised turns only.

    Raises
    ------
    RenderingError
        If some turns are not supervised and the template joins turns, so that their spans cannot be told apart.
    """
    if all(turn.supervised for turn in turns):
        return rendered
    runs: list[list[Turn]] = []
    for position, turn in enumerate(turns):
        if turn.role == "assistant" and turn.content.strip():
            joined = bool(runs) and turns[position - 1].role == "assistant"
            runs = [*runs[:-1], [*runs[-1], turn]] if joined else [*runs, [turn]]
    answers = [[turn] for run in runs for turn in run]
    for groups in (answers, runs):
        alike = all(one.supervised == group[0].supervised for group in groups for one in group)
        if len(groups) == len(rendered.spans) and alike:
            kept = (span for span, group in zip(rendered.spans, groups, strict=True) if group[0].supervised)
            return Rendered(rendered.text, tuple(kept))
    raise RenderingError("turns that are not supervised cannot be told from the others in the rendered text")


def flatten(turns: Sequence[Turn]) -> list[Turn]:
    """Return `turns` for a template that only accepts user and assistant in alternation.

    Tool results and system text become user turns, consecutive turns of one role are joined by a blank line, and an
    assistant turn at the start follows an empty user turn.
    """
    flat: list[Turn] = [Turn("user", "")] if turns and turns[0].role == "assistant" else []
    for turn in turns:
        role = turn.role if turn.role == "assistant" else "user"
        if flat and flat[-1].role == role:
            flat[-1] = Turn(flat[-1].role, flat[-1].content + SEPARATOR + turn.content, flat[-1].tool_call)
        else:
            flat.append(Turn(role, turn.content, turn.tool_call))
    return flat
