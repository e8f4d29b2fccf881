"""The wordings of a diagnosis of prompts: instructions that are put before the question of a multiple-choice item."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

WORDINGS = (
    "Answer the question.",
    "Choose the correct answer.",
    "Read the question and give the right answer, nothing else.",
    "You are taking an exam. Answer as well as you can.",
    "Which answer is true? Reply with the answer only.",
    "Think about what you know, then answer briefly.",
    "Here is a question from a quiz.",
    "Please help me with this one.",
)
"""Those of this project, used without ``--prompts``."""


def read_wordings(path: Path | None) -> tuple[str, ...]:
    """Return the wordings of a file, one on each line, without blank lines; `WORDINGS` without a file.

    Raises
    ------
    InputError
        If the file cannot be read, repeats a line, or has fewer than two.
    """
    if path is None:
        return WORDINGS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as problem:
        raise InputError(f"{path} is not UTF-8 text (byte {problem.start}); save it as UTF-8") from problem
    except OSError as problem:
        raise InputError(
            f"--prompts {path}: {problem.strerror}; give a text file with a wording on each line"
        ) from None
    wordings = [line.strip() for line in lines if line.strip()]
    if len(wordings) < 2:
        raise InputError(f"--prompts {path} has {len(wordings)} wordings; a spread needs two, one on each line")
    if repeated := next((line for place, line in enumerate(wordings) if line in wordings[:place]), None):
        raise InputError(f"--prompts {path} has the line {repeated!r} twice; remove one")
    return tuple(wordings)
