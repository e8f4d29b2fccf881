"""Finds out by a few renderings how a chat template begins and ends the turns of the assistant."""

from __future__ import annotations

from dataclasses import dataclass
from os.path import commonprefix
from typing import TYPE_CHECKING

from curate.engines.tokens.chat_template import RENDER_ERRORS, ChatTemplate
from curate.engines.tokens.turn_ends import turn_ends
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError, first_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

QUESTION, ANSWER = Turn("user", "zqquestionzq"), Turn("assistant", "zqanswerzq")
NEXT_QUESTION, LAST_ANSWER = Turn("user", "zqanotherzq"), Turn("assistant", "zqfinalzq")
"""Two exchanges of letters that no template contains and that no filter changes."""


@dataclass(frozen=True)
class ChatLayout:
    """How a chat template lays out the turns of the assistant."""

    incremental: bool = False
    """Whether the text of the first turns begins the text of the conversation."""
    continues: bool = False
    """Whether it does so at least up to the end of the last of them."""
    prompted: bool = True
    """Whether that holds with the beginning of an answer, or without."""
    lead: str = ""
    """What the template puts between the first turns and the answer."""
    ends: tuple[str, ...] = ()
    """What may end a turn of the assistant."""
    common_ends: bool = True
    """Whether all that follows the last turn also follows the others."""


def probe(template: ChatTemplate, control: Collection[str]) -> ChatLayout:
    """Return the layout of `template`, from one exchange and from two.

    Parameters
    ----------
    template : ChatTemplate
    control : collection of str
        The tokenizer's control tokens.

    Raises
    ------
    InputError
        If the template fails on one exchange.
    """
    try:
        text = template.text([QUESTION, ANSWER], None)
        prompts = {prompt: template.text([QUESTION], None, prompt) for prompt in (True, False)}
    except RENDER_ERRORS as error:
        raise InputError(
            f"the chat template of {template.folder} fails on one question and one answer ({first_line(error)}); "
            "give --template plain"
        ) from error
    start = text.find(ANSWER.content)
    if start < 0:
        return ChatLayout()
    continues = any(QUESTION.content in commonprefix([text, prefix]) for prefix in prompts.values())
    last = text[start + len(ANSWER.content) :].strip()
    ends = _ends(template, text, prompts, control)
    usual = ends == ((last,) if last else ())
    for prompt, prefix in prompts.items():
        if text.startswith(prefix) and len(prefix) <= start:
            return ChatLayout(True, continues, prompt, text[len(prefix) : start], ends, usual)
    return ChatLayout(False, continues, ends=ends, common_ends=usual)


def _ends(template: ChatTemplate, text: str, prompts: Mapping[bool, str], control: Collection[str]) -> tuple[str, ...]:
    """Return what may end a turn of the assistant; `text` is one exchange, `prompts` its question."""
    try:
        longer = template.text([QUESTION, ANSWER, NEXT_QUESTION, LAST_ANSWER], None)
    except RENDER_ERRORS:
        longer = ""
    start, stop = longer.find(ANSWER.content), longer.find(NEXT_QUESTION.content)
    middle = longer[start + len(ANSWER.content) : stop] if 0 <= start < stop else None
    last = text[text.find(ANSWER.content) + len(ANSWER.content) :]
    opening = text[: max(text.find(QUESTION.content), 0)]
    added = prompts[True][len(commonprefix([prompts[True], prompts[False]])) :]
    return turn_ends(last, middle, opening, added, control)
