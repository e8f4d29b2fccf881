"""Renders conversations with a tokenizer's own chat template and locates the assistant turns in the text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from curate.engines.tokens.rendering import Rendered, RenderingError, flatten
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")

FROZEN_DATE = "{% macro strftime_now(format) %}2025-01-01{% endmacro %}"
"""Prepended to templates that print the date: the same corpus must give the same tokens on every day."""

RENDER_ERRORS = (TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError)
"""What the code inside a chat template may raise on a conversation that its author did not anticipate."""


class ChatRenderer:
    """The tokenizer's own chat template.

    An assistant turn is located by rendering the turns before it with the generation prompt: that text must be a
    prefix of the full text, and the turn's content must follow. If a template violates this, its ``{% generation %}``
    markers are used if it has them. A template that rejects system or tool turns, or two consecutive turns of one
    role, gets the conversation flattened (`flatten`).

    Parameters
    ----------
    template : str
        Jinja text.
    special_tokens : mapping of str to str
        Variables that the template may use: ``bos_token`` and so on.

    Raises
    ------
    InputError
        If not even the simplest conversation can be rendered and located.
    """

    name = "chat"

    def __init__(self, template: str, special_tokens: Mapping[str, str]) -> None:
        self._template = (FROZEN_DATE if "strftime_now" in template else "") + template
        self._special = dict(special_tokens)
        self._marked = bool(GENERATION.search(template))
        self._lead = ""
        self._prompted = True
        self._tail = ""
        self._incremental = self._probe()
        if not self._incremental and not self._marked:
            raise InputError(
                "the tokenizer's chat template does not render a conversation as a continuation of its first turns "
                "and has no {% generation %} markers, so its assistant turns cannot be located; "
                "give --template plain, or add the markers to the template"
            )
        self._supported = {role: self._is_rendered(role) for role in ("system", "tool")}

    def source(self) -> object:
        """Return the template and the special tokens that it may print."""
        return ["chat", self._template, self._special]

    def render(self, turns: Sequence[Turn], tools: str | None) -> Rendered:
        """Return the text of one conversation, flattened if the template cannot render it unchanged."""
        if all(self._supported.get(turn.role, True) for turn in turns):
            try:
                return self._attempt(turns, tools)
            except (RenderingError, *RENDER_ERRORS):
                pass
        try:
            return self._attempt(flatten(turns), tools)
        except RENDER_ERRORS as error:
            raise RenderingError(str(error)) from error

    def _attempt(self, turns: Sequence[Turn], tools: str | None) -> Rendered:
        parsed = _tool_list(tools)
        if self._incremental:
            text = self._text(turns, parsed)
            spans = self._locate(text, turns, parsed)
            if spans is not None:
                return Rendered(text, spans)
        if not self._marked:
            raise RenderingError("an assistant turn cannot be located in the rendered text")
        return self._by_markers(turns, parsed)

    def _text(self, turns: Sequence[Turn], tools: list[Any] | None, prompt: bool = False) -> str:
        texts, _ = render_jinja_template(
            conversations=[[{"role": turn.role, "content": turn.content} for turn in turns]],
            tools=tools,
            chat_template=self._template,
            add_generation_prompt=prompt,
            **self._special,
        )
        return str(texts[0])

    def _locate(self, text: str, turns: Sequence[Turn], tools: list[Any] | None) -> tuple[tuple[int, int], ...] | None:
        """Return the spans of the assistant turns of `text`, None if one is not at its expected position."""
        spans = []
        for index, turn in enumerate(turns):
            # Stripped, because many templates strip contents before printing them.
            content = turn.content.strip()
            if turn.role != "assistant" or not content:
                continue
            prefix = self._text(turns[:index], tools, self._prompted)
            start = self._start(text, prefix, content)
            if start is None:
                return None
            spans.append((start, self._end(text, start + len(content))))
        return tuple(spans)

    def _start(self, text: str, prefix: str, content: str) -> int | None:
        """Return where `content` begins in `text`, right after `prefix` and what the template puts between them."""
        if not text.startswith(prefix):
            return None
        # Some templates write an empty thought before the last answer only, so try with the lead, then without.
        for lead in (self._lead, ""):
            if text.startswith(lead, len(prefix)):
                start = _skip_space(text, len(prefix) + len(lead))
                if text.startswith(content, start):
                    return start
        return None

    def _end(self, text: str, stop: int) -> int:
        """Return the end of the turn whose content ends at `stop`: after the end-of-turn marker, if one follows."""
        marker = _skip_space(text, stop)
        return marker + len(self._tail) if self._tail and text.startswith(self._tail, marker) else stop

    def _by_markers(self, turns: Sequence[Turn], tools: list[Any] | None) -> Rendered:
        texts, indices = render_jinja_template(
            conversations=[[{"role": turn.role, "content": turn.content} for turn in turns]],
            tools=tools,
            chat_template=self._template,
            return_assistant_tokens_mask=True,
            **self._special,
        )
        spans = tuple((start, stop) for start, stop in indices[0] if stop > start)
        contents = [turn.content.strip() for turn in turns if turn.role == "assistant" and turn.content.strip()]
        return Rendered(str(texts[0]), spans if contents else ())

    def _probe(self) -> bool:
        """Detect on one exchange how an assistant turn begins and ends; return False if it cannot be located."""
        # Letters that no template contains and that no filter changes.
        answer = "zqanswerzq"
        turns = [Turn("user", "zqquestionzq"), Turn("assistant", answer)]
        try:
            text = self._text(turns, None)
            prompts = {prompt: self._text(turns[:1], None, prompt) for prompt in (True, False)}
        except RENDER_ERRORS as error:
            raise InputError(
                f"the tokenizer's chat template fails on one question and one answer ({error}); give --template plain"
            ) from error
        start = text.find(answer)
        if start < 0:
            return False
        # Everything after the answer is the end-of-turn marker: the exchange ends with it.
        self._tail = text[start + len(answer) :].strip()
        for prompt, prefix in prompts.items():
            if text.startswith(prefix) and len(prefix) <= start:
                self._prompted = prompt
                self._lead = text[len(prefix) : start]
                return True
        return False

    def _is_rendered(self, role: str) -> bool:
        """Return whether a turn of `role` appears in the rendered text: some templates drop roles silently."""
        word = Turn(role, "zqwordzq")  # type: ignore[arg-type]
        opening = [word] if role == "system" else []
        closing = [word, Turn("assistant", "b")] if role == "tool" else []
        try:
            text = self._text([*opening, Turn("user", "a"), Turn("assistant", "b"), *closing], None)
        except RENDER_ERRORS:
            return False
        return word.content in text


def _skip_space(text: str, start: int) -> int:
    """Return the position of the first character from `start` on that is not white space."""
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def _tool_list(tools: str | None) -> list[Any] | None:
    """Return the tools as a template expects them, None if they are not a JSON list of objects."""
    try:
        parsed = json.loads(tools) if tools else None
    except ValueError:
        return None
    return parsed if isinstance(parsed, list) and all(isinstance(tool, dict) for tool in parsed) else None
