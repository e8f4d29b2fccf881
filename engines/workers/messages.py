"""The messages that a worker sends: of a process over its socket, of a Ray actor as the items of a stream.

They are tuples: ``("ready", facts)``, ``("rows", number)``, ``("done", part, result, peak_memory)``,
``("warning", text)`` and, last, ``("failed", exit_code, message, traceback)``. A Ray actor adds its `versions` to
``ready``, since it runs what its node has installed.
"""

from __future__ import annotations

import traceback
from importlib import metadata
from typing import Any

from curate.schemas.errors import CurateError, error_of

DECISIVE = ("curate-llm", "numpy", "pyarrow", "torch", "transformers", "tokenizers", "sentence-transformers")
"""Packages whose version may change a result."""


def failed(error: Exception) -> tuple[Any, ...]:
    """Return the message about an exception that is being handled; whatever went wrong, the other end waits for it."""
    if isinstance(error, CurateError):
        return "failed", error.exit_code, str(error), traceback.format_exc()
    return "failed", CurateError.exit_code, f"{type(error).__name__}: {error}", traceback.format_exc()


def as_error(label: str, code: int, message: str, trace: str) -> CurateError:
    """Return the exception for the content of a ``failed`` message; `label` says which worker sent it."""
    error = error_of(code, f"{label}: {message}")
    error.add_note(trace)
    return error


def is_ours(category: type[Warning]) -> bool:
    """Return whether a warning is this project's: libraries warn in other categories than `RuntimeWarning`."""
    return issubclass(category, RuntimeWarning)


def versions() -> dict[str, str]:
    """Return the installed versions of `DECISIVE`."""
    installed = {}
    for name in DECISIVE:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
