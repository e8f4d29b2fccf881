"""A tokenizer's chat template as a function from turns to text, within limits and with a frozen date."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError, nodes, pass_eval_context
from jinja2.ext import Extension, loopcontrols

from curate.engines.tokens.limits import ALLOWED, LimitError, weigh
from curate.engines.tokens.sandbox import BoundedEnvironment
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2.environment import Template as JinjaTemplate
    from jinja2.parser import Parser

    from curate.schemas.corpus import Turn

GENERATION = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")

TODAY = datetime(2025, 1, 1)
"""The day of templates that print the date: the same corpus must give the same tokens on every day."""

MARKS = ("\ue0f0", "\ue0f1")
"""Begin and end of a ``{% generation %}`` block in a marked text: characters for private use."""

LONGEST_SOURCE = 400_000
"""Characters of a template; published ones have at most some tens of thousands."""

LONGEST_FORMAT = 1000
"""Characters of a date format: the system's function may need a multiple of it in memory."""

RENDER_ERRORS = (
    TemplateError, TypeError, ValueError, LookupError, AttributeError, NameError, ArithmeticError, RecursionError,
    SyntaxError, MemoryError,
)  # fmt: skip
"""What the code inside a chat template may raise on a conversation that its author did not anticipate."""


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template with the special tokens that it may print."""

    source: str
    """Jinja text."""
    special: Mapping[str, str]
    """``bos_token`` and so on."""
    folder: str
    """The model folder, for messages."""

    @property
    def marked(self) -> bool:
        """Whether the template has ``{% generation %}`` blocks."""
        return bool(GENERATION.search(self.source))

    @property
    def dated(self) -> bool:
        """Whether the template may print the date."""
        return "strftime_now" in self.source

    def text(self, turns: Sequence[Turn], tools: list[Any] | None, prompt: bool = False) -> str:
        """Return the text of `turns`, followed by the beginning of an answer if `prompt`.

        Raises
        ------
        InputError
            If the template exceeds the limits.
        Exception
            One of `RENDER_ERRORS` if the template rejects the turns.
        """
        characters = sum(len(turn.content) for turn in turns) + weigh(tools)
        try:
            ALLOWED.open(characters)
            compiled = _compiled(self.source)
            ALLOWED.open(characters)  # again: the time of compiling is bounded by the length of the source
            return str(
                compiled.render(
                    messages=[{"role": turn.role, "content": turn.content} for turn in turns],
                    tools=tools, documents=None, add_generation_prompt=prompt, **self.special,
                )
            )  # fmt: skip
        except LimitError as error:
            raise InputError(
                f"the chat template of {self.folder} exceeds the limits for one conversation ({error}); "
                "correct it, or give --template plain"
            ) from error

    def marked_text(self, turns: Sequence[Turn], tools: list[Any] | None) -> tuple[str, list[tuple[int, int]]]:
        """Return the text of `turns` and the ranges [start, end) of its ``{% generation %}`` blocks."""
        if any(mark in turn.content for turn in turns for mark in MARKS):
            raise ValueError("a turn contains characters for private use that mark the blocks of the template")
        ALLOWED.marking = True
        try:
            text = self.text(turns, tools)
        finally:
            ALLOWED.marking = False
        return _without_marks(text)


class _Generation(Extension):
    """The block ``{% generation %} … {% endgeneration %}``, which encloses what the model is trained to write."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        """Return a call that renders the body."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    @pass_eval_context
    def _mark(self, _: object, caller: Any) -> str:
        text = str(caller())
        return text.join(MARKS) if ALLOWED.marking else text


@lru_cache(maxsize=16)
def _compiled(source: str) -> JinjaTemplate:
    """Return the compiled template; it holds no state of a rendering."""
    if len(source) > LONGEST_SOURCE:
        raise LimitError(f"it has {len(source):,} characters, and {LONGEST_SOURCE:,} are allowed")
    environment = BoundedEnvironment([_Generation, loopcontrols])
    environment.globals["strftime_now"] = _frozen_date
    return environment.from_string(source)


def _frozen_date(format: str) -> str:  # noqa: A002
    if len(format) > LONGEST_FORMAT:
        raise ValueError(f"a date format has {len(format)} characters")
    return TODAY.strftime(format)


def _without_marks(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return `text` without its marks, and the ranges between them."""
    pieces, spans, start, length = [], [], 0, 0
    for piece in re.split(f"({'|'.join(MARKS)})", text):
        if piece == MARKS[0]:
            start = length
        elif piece == MARKS[1]:
            spans.append((start, length))
        else:
            pieces.append(piece)
            length += len(piece)
    return "".join(pieces), [(start, stop) for start, stop in spans if stop > start]


def tool_list(tools: str | None) -> list[Any] | None:
    """Return the tools as templates expect them, None if they are not a JSON list of objects.

    A bare function, ``{"name": …, "parameters": …}``, is wrapped as ``{"type": "function", "function": …}``.
    """
    try:
        parsed = json.loads(tools) if tools else None
    except ValueError:
        return None
    if not isinstance(parsed, list) or not all(isinstance(tool, dict) for tool in parsed):
        return None
    return [_wrapped(tool) for tool in parsed]


def _wrapped(tool: dict[str, Any]) -> dict[str, Any]:
    if "function" in tool or not isinstance(tool.get("name"), str) or tool.get("type", "function") != "function":
        return tool
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}
