"""Renders conversations with a tokenizer's own chat template and locates the assistant turns in the text.

A turn is located by renderings of other conversations. First with the turns before it: their text must be a prefix,
and the turn's content must follow. If the template rewrites contents (a reasoning model's leaves thoughts out, or lays
them out anew), with a placeholder for the turn: what surrounds the placeholder must surround the turn.
"""

from __future__ import annotations

from os.path import commonprefix
from typing import TYPE_CHECKING, Any

from curate.engines.tokens.chat_layout import ANSWER, probe
from curate.engines.tokens.chat_template import RENDER_ERRORS, TODAY, ChatTemplate, tool_list
from curate.engines.tokens.rendering import Rendered, RenderingError, flatten
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError, first_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


class ChatRenderer:
    """The tokenizer's own chat template.

    The ranges of its ``{% generation %}`` blocks are supervised if it has them, else the assistant turns with their
    own ends. A template that rejects system or tool turns, or two consecutive turns of one role, gets the conversation
    flattened (`flatten`).

    Parameters
    ----------
    template : str
        Jinja text.
    special_tokens : mapping of str to str
        Variables that the template may use: ``bos_token`` and so on.
    folder : str
        The model folder, for messages.
    control : collection of str
        The tokenizer's control tokens.

    Raises
    ------
    InputError
        If not even the simplest conversation can be rendered and located, or the template exceeds the limits.
    """

    name = "chat"

    def __init__(
        self,
        template: str,
        special_tokens: Mapping[str, str],
        folder: str = "the tokenizer",
        control: Collection[str] = (),
    ) -> None:
        self._template = ChatTemplate(template, dict(special_tokens), folder)
        self._text = self._template.text
        self._layout = probe(self._template, control)
        if not (self._layout.incremental or self._layout.continues or self._template.marked):
            raise InputError(
                f"the chat template of {folder} does not render a conversation as a continuation of its first turns "
                "and has no {% generation %} markers, so its assistant turns cannot be located; "
                "give --template plain, or add the markers to the template"
            )
        self._supported = {role: self._is_rendered(role) for role in ("system", "tool")}

    def source(self) -> object:
        """Return the template, the special tokens that it may print, and how it is read where that is not usual."""
        unusual = [str(TODAY.date())] if self._template.dated else []
        unusual += [] if self._layout.common_ends else ["ends", *self._layout.ends]
        unusual += ["marks"] if self._template.marked and self._layout.incremental else []
        return ["chat", self._template.source, self._template.special, *([unusual] if unusual else [])]

    def render(self, turns: Sequence[Turn], tools: str | None) -> Rendered:
        """Return the text of one conversation, flattened if the template cannot render it unchanged."""
        ways = [self._by_prefixes, self._by_placeholders]
        if self._template.marked:
            ways.insert(0, self._by_marks)
        unchanged = all(self._supported.get(turn.role, True) for turn in turns)
        conversations = [turns, flatten(turns)] if unchanged else [flatten(turns)]
        parsed, reason = tool_list(tools), "an assistant turn cannot be located in the rendered text"
        # Flattening comes before another way, so that rows keep the text that they had before there were placeholders.
        for locate in ways:
            for conversation in conversations:
                try:
                    rendered = locate(conversation, parsed)
                except RENDER_ERRORS as error:
                    reason = first_line(error)
                    continue
                if rendered is not None:
                    return rendered
        raise RenderingError(reason)

    def _by_marks(self, turns: Sequence[Turn], tools: list[Any] | None) -> Rendered | None:
        """Return the ranges of the template's own blocks, None if it renders none for an answer."""
        text, spans = self._template.marked_text(turns, tools)
        answers = [bool(turn.content.strip()) for turn in turns if turn.role == "assistant"]
        # Only where turns can be located otherwise: there, blank turns never were supervised.
        if self._layout.incremental and len(spans) == len(answers):
            spans = [span for span, filled in zip(spans, answers, strict=True) if filled]
        if any(answers) and not spans:
            return None
        return Rendered(text, tuple(spans) if any(answers) else ())

    def _by_prefixes(self, turns: Sequence[Turn], tools: list[Any] | None) -> Rendered | None:
        """Return the text with the turns located by the renderings of the turns before them, None if one is not."""
        if not self._layout.incremental:
            return None
        text = self._text(turns, tools)
        spans = []
        for index in _answers(turns):
            prefix = self._text(turns[:index], tools, self._layout.prompted)
            place = self._find(text, prefix, turns[index].content.rstrip())
            if place is None:
                return None
            spans.append((place[0], self._end(text, place[1])))
        return Rendered(text, tuple(spans))

    def _find(self, text: str, prefix: str, content: str) -> tuple[int, int] | None:
        """Return the place of `content` in `text`, right after `prefix` and what the template puts between them."""
        if not text.startswith(prefix):
            return None
        # Some templates write an empty thought before the last answer only, so try with the lead, then without.
        for lead in (self._layout.lead, ""):
            if text.startswith(lead, len(prefix)):
                at = len(prefix) + len(lead)
                # With the indentation of code, or without: many templates strip contents before printing them.
                for start, shown in ((at, content), (_skip_space(text, at), content.strip())):
                    if text.startswith(shown, start):
                        return start, start + len(shown)
        return None

    def _end(self, text: str, stop: int) -> int:
        """Return the end of the turn whose content ends at `stop`: after the end-of-turn marker, if one follows."""
        marker = _skip_space(text, stop)
        return next((marker + len(end) for end in self._layout.ends if text.startswith(end, marker)), stop)

    def _by_placeholders(self, turns: Sequence[Turn], tools: list[Any] | None) -> Rendered | None:
        """Return the text with the visible part of each turn, None if the surroundings of one cannot be located.

        A turn of which the template shows nothing has no range.
        """
        if not self._layout.continues:
            return None
        text = self._text(turns, tools)
        spans: list[tuple[int, int]] = []
        for index in _answers(turns):
            pieces = self._text([*turns[:index], ANSWER, *turns[index + 1 :]], tools).split(ANSWER.content)
            if len(pieces) == 1:
                continue
            before, after = pieces[0], pieces[-1]
            start, stop = self._visible_start(text, turns[:index], tools, before), len(text) - len(after)
            earliest = spans[-1][1] if spans else 0
            if len(pieces) > 2 or not text.endswith(after) or not earliest <= start <= stop:
                return None
            start, stop = _skip_space(text, start), len(text[:stop].rstrip())
            if start < stop:
                spans.append((start, self._end(text, stop)))
        return Rendered(text, tuple(spans))

    def _visible_start(self, text: str, earlier: Sequence[Turn], tools: list[Any] | None, before: str) -> int:
        """Return where the visible part of the turn after `earlier` begins; `before` precedes the placeholder."""
        if text.startswith(before):
            return len(before)
        # The placeholder has no thought: the template may write an empty one before it, but not before the turn.
        prefix = self._text(earlier, tools, self._layout.prompted)
        return len(prefix) if self._layout.prompted and text.startswith(prefix) else len(commonprefix([before, text]))

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


def _answers(turns: Sequence[Turn]) -> list[int]:
    """Return the positions of the assistant turns that have text."""
    return [index for index, turn in enumerate(turns) if turn.role == "assistant" and turn.content.strip()]


def _skip_space(text: str, start: int) -> int:
    """Return the position of the first character from `start` on that is not white space."""
    while start < len(text) and text[start].isspace():
        start += 1
    return start
