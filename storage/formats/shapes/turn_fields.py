"""The fields of a turn besides its role and content that change what it means: they are read or refused.

Whether it is supervised (``weight``, ``train``, ``loss``), what the model thought, and text that is where no content
is looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.storage.formats.rows import RowProblem, is_missing, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SUPERVISION = ("weight", "loss_weight", "train", "training", "trainable", "loss")
"""1 or true: the turn is trained on; 0 or false: it is context only (OpenAI, axolotl, ms-swift)."""
_UNCLEAR = ("mask", "masked", "loss_mask", "train_detail", "training_detail")
"""Fields that say which tokens are trained on in ways that differ among tools, or by characters."""
THOUGHTS = ("reasoning_content", "thinking", "reasoning", "thought", "thoughts")
READ = frozenset({"role", "from", "content", "value", "tool_calls", "function_call", *SUPERVISION, *THOUGHTS})
"""Fields that are read of an assistant turn."""
_TEXTS = ("text", "message", "body", "utterance", "output", "response", "answer", "question", "prompt", "refusal")
"""Fields that hold the text of a turn in some files."""
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def flag_of(name: str, value: object) -> bool | None:
    """Return what a supervision field says, None if it is null.

    Raises
    ------
    RowProblem
        If it is neither 0 nor 1, true nor false.
    """
    if is_missing(value):
        return None
    flag = _FLAGS.get(str(value).strip().lower().removesuffix(".0"))
    if flag is None:
        raise RowProblem(name, f"{name} is {printable(str(value), 40)!r}; only 0 and 1, true and false can be used")
    return flag


def is_supervised(turn: Mapping[str, Any], number: int, column: str) -> bool:
    """Return False if a field of an assistant turn says that it is not trained on; RowProblem if that is unclear."""
    for name in _UNCLEAR:
        if not is_missing(turn.get(name)) and turn[name] != []:
            raise RowProblem(column, f"turn {number} has {name!r}, which cannot be used; use weight 0 or 1 per turn")
    try:
        return all(flag_of(name, turn.get(name)) is not False for name in SUPERVISION)
    except RowProblem as problem:
        raise RowProblem(column, f"turn {number}: {problem.reason}") from problem


def thoughts_of(turn: Mapping[str, Any], number: int, column: str) -> list[object]:
    """Return the thoughts beside the content of a turn; RowProblem if one is not text."""
    given = [turn[name] for name in THOUGHTS if not is_missing(turn.get(name))]
    for name in THOUGHTS:
        if not isinstance(turn.get(name) or "", str):
            raise RowProblem(column, f"turn {number} has a {name!r} that is not text")
    return given


def with_thoughts(thoughts: Iterable[str], content: str) -> str:
    """Return `content` after its thoughts, in the form in which reasoning models write them."""
    # Some files have the thoughts twice: in their own field, and in the content.
    apart = [thought for thought in thoughts if thought and thought not in content]
    if not apart:
        return content
    thought = "\n\n".join(apart)
    return f"<think>\n{thought}\n</think>\n\n{content}".rstrip()


def check_content(turn: Mapping[str, Any], content: object, number: int, column: str) -> None:
    """Raise RowProblem if a turn without content has text in another field."""
    if isinstance(content, str) and content.strip():
        return
    for name in _TEXTS:
        text = turn.get(name)
        if isinstance(text, str) and text.strip():
            raise RowProblem(column, f"turn {number} has no content, but a text in {name!r}; name it content or value")
