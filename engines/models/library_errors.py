"""Turns what libraries raise about a damaged or foreign model file into one sentence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from curate.schemas.errors import CurateError, InputError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def as_input_error(subject: str, remedy: str) -> Iterator[None]:
    """Raise InputError "`subject` cannot be loaded (reason); `remedy`" for any error of the code inside.

    For calls that hand a user's files to transformers, tokenizers, PEFT or safetensors: these raise AttributeError,
    TypeError, bare Exception and more for values of the wrong type, so no list of classes would be complete.
    """
    try:
        yield
    except (CurateError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{subject} cannot be loaded ({reason_of(error)}); {remedy}") from error


def reason_of(error: BaseException) -> str:
    """Return the line of an exception's message that says most, with the class where the message says too little."""
    lines = [line.strip() for line in str(error).splitlines()]
    # torch lists the shapes that differ below a headline that names none.
    shapes = next((line for line in lines if line.startswith("size mismatch")), None)
    if shapes is not None:
        return shapes.rstrip(".")
    if isinstance(error, (OSError, ValueError, RuntimeError, ImportError)) and not isinstance(error, RecursionError):
        return first_line(error)
    return f"{type(error).__name__}: {first_line(error)}"
