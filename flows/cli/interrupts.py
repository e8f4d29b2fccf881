"""Ctrl-C: one sentence and exit code 130 at any moment, also while libraries are imported and while DuckDB computes.

Before a verb begins nothing has been written, and a KeyboardInterrupt inside an import may be swallowed or become an
ImportError: the process ends at once, and so do verbs that write nothing. From then on the first Ctrl-C raises
KeyboardInterrupt, so that run records are finished and locks released; the second ends the process, as do ten seconds
in which a library has swallowed the first.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from curate.storage.catalog.spill import spill_folder

if TYPE_CHECKING:
    from types import FrameType

SENTENCE = "interrupted; run the same command again to continue where it stopped"
EXIT_CODE = 130

PATIENCE = 10.0
"""Seconds after the first Ctrl-C in which a verb must end."""

_requested = False


def end_at_once(*_: object) -> NoReturn:
    """End the process with the sentence; the handler until a verb begins, and of verbs that only read."""
    shutil.rmtree(spill_folder(), ignore_errors=True)
    os.write(2, f"curate: {SENTENCE}\n".encode())
    os._exit(EXIT_CODE)


def raise_once(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; the handler while a verb runs."""
    global _requested
    if _requested:
        end_at_once(number, frame)
    _requested = True
    sys.unraisablehook = _without_interruptions
    timer = threading.Timer(PATIENCE, end_at_once)
    timer.daemon = True
    timer.start()
    raise KeyboardInterrupt


def _without_interruptions(problem: sys.UnraisableHookArgs) -> None:
    """Print what Python cannot raise, such as errors in finalizers, unless it is the KeyboardInterrupt of a Ctrl-C."""
    if not issubclass(problem.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(problem)


def requested() -> bool:
    """Return True after the first Ctrl-C: whatever a library raises then is an interruption."""
    return _requested


def leave(code: int) -> NoReturn:
    """End the process after an interruption, its exit functions run.

    Not by `sys.exit`: if the KeyboardInterrupt has passed through certain imports, the interpreter ends by SIGINT
    whatever the exit code is.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def handle(handler: object) -> object:
    """Install a handler of Ctrl-C, forget earlier ones pressed, and return the handler before.

    Python allows handlers in the main thread only: in any other thread nothing changes.
    """
    global _requested
    _requested = False
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGINT, handler)  # type: ignore[arg-type]
