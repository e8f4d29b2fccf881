"""How a chat template ends an assistant turn, from the text after one in the middle and after the last.

Some templates print more after the last turn than after the others (Phi-3: end of text, once), some less, some
something else (gpt-oss: ``<|return|>`` for ``<|end|>``). Only a turn's own end is supervised.
"""

from __future__ import annotations

from os.path import commonprefix
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def turn_ends(last: str, middle: str | None, opening: str, prompt: str, control: Collection[str]) -> tuple[str, ...]:
    """Return the texts that may end an assistant turn, none if the template writes no end.

    Parameters
    ----------
    last : str
        What follows the last assistant turn.
    middle : str or None
        What lies between an assistant turn and the content of the next user turn; None if it is not known.
    opening : str
        What precedes the content of the first user turn.
    prompt : str
        What the template adds to begin an answer.
    control : collection of str
        The tokenizer's control tokens.
    """
    last = last.strip()
    if middle is None or (last and middle.lstrip().startswith(last)):
        return (last,) if last else ()
    middle = middle.lstrip()
    shared = _whole(commonprefix([last, middle]), last, middle)
    if shared:
        return (shared,)
    end = _own_end(middle, opening, prompt, control)
    # Where turns in the middle have no end, what follows the last turn belongs to the conversation.
    return tuple(filter(None, (end, _first(last, control)))) if end else ()


def _whole(shared: str, *texts: str) -> str:
    r"""Return `shared`, a common beginning of `texts`, up to where a tag or word is cut: ``<|end|>\\n<|`` loses two."""
    for bracket, closing in (("<", ">"), ("[", "]")):
        if shared.rfind(bracket) > shared.rfind(closing):
            shared = shared[: shared.rfind(bracket)]
    while shared and shared[-1].isalnum() and any(text[len(shared) : len(shared) + 1].isalnum() for text in texts):
        shared = shared[:-1]
    return shared.strip()


def _own_end(middle: str, opening: str, prompt: str, control: Collection[str]) -> str:
    """Return the control token at the start of `middle` if it ends a turn, empty if it begins the next one."""
    token = _first(middle, control)
    if not token or token in prompt:
        return ""
    # A single control token that also precedes the first question belongs to the user's turn.
    alone = not any(other in middle[len(token) :] for other in control)
    return "" if alone and opening.endswith(middle) else token


def _first(text: str, control: Collection[str]) -> str:
    """Return the longest control token that `text` starts with, empty if there is none."""
    return max((token for token in control if token and text.startswith(token)), key=len, default="")
