"""Entry point of the command ``curate``: runs a verb and maps errors to exit codes.

0 done · 1 environment or failure · 2 usage · 3 unusable input · 4 refused by a gate · 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from curate.flows.cli import interrupts

if TYPE_CHECKING:
    from typing import Any

    import typer

QUIET_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
"""Environment defaults that turn off telemetry, and log output of libraries between the lines of the command."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the documented code.

    Parameters
    ----------
    arguments : list of str, optional
        Arguments after ``curate``; by default those of the process.
    """
    before = interrupts.handle(interrupts.end_at_once)
    try:
        code = _prepare_and_run(sys.argv[1:] if arguments is None else arguments)
    finally:
        # Nothing is left to do: a Ctrl-C while the interpreter ends must not turn a success into a traceback.
        interrupts.handle(signal.SIG_IGN if arguments is None else before)
    if code == interrupts.EXIT_CODE and arguments is None:
        interrupts.leave(code)
    sys.exit(code)


def _prepare_and_run(words: list[str]) -> int:
    from curate.engines.library_output import silence_loggers

    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Before any import of transformers, which imports what is installed of them.
    silence_loggers()
    if hasattr(signal, "SIGXFSZ"):
        # Reaching a file-size limit must raise an OSError that can be reported instead of killing the process.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return _run(words)


def load_commands() -> typer.Typer:
    """Return the app with all verbs; a command module adds its verbs when it is imported."""
    from curate.flows.cli.app import app
    from curate.flows.cli.commands import (  # noqa: F401
        compression,
        deployment,
        diagnosis,
        evaluation,
        pipeline,
        publishing,
        queries,
        recovery,
        sampling,
        warehouse,
    )

    return app


def _run(words: list[str]) -> int:
    debug = "--debug" in words
    try:
        load_commands()(_complete([word for word in words if word != "--debug"]), prog_name="curate")
    except BrokenPipeError:
        # The reader of the pipe has closed it, as `| head` does; Python must not fail again on flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as done:
        # Typer converts a KeyboardInterrupt into exit code 130 before it reaches the clause below.
        return _interrupted() if done.code == interrupts.EXIT_CODE else _code(done.code)
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:
        if interrupts.requested():  # DuckDB raises a RuntimeError, some imports an ImportError
            return _interrupted()
        if debug:
            raise
        return _fail(*_explained(error))
    return 0


def _complete(words: list[str]) -> list[str]:
    """Return `words` with the value ``list`` after a ``--named`` that has none."""
    # Typer has no options whose value may be left out.
    if "--named" not in words:
        return words
    after = words.index("--named") + 1
    left_out = after == len(words) or words[after].startswith("-")
    return [*words[:after], "list", *words[after:]] if left_out else words


def _explained(error: Exception) -> tuple[str, int]:
    """Return the sentence for the user and the exit code; developers get a traceback with --debug."""
    from curate.schemas.errors import CurateError

    if isinstance(error, CurateError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        path = f" ({error.filename})" if error.filename else ""
        return f"system error: {error.strerror or error}{path}; free space or fix permissions", 1
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text}; run again with --debug and report it", 1


def _interrupted() -> int:
    return _fail(interrupts.SENTENCE, interrupts.EXIT_CODE)


def _fail(text: str, code: int) -> int:
    from curate.schemas.terminal_text import visible

    print(f"curate: {visible(text)}", file=sys.stderr)
    return code


def _code(code: Any) -> int:
    return code if isinstance(code, int) else int(code is not None)
