"""The command ``curate``: one door to every verb, and the only place that turns errors into exit codes.

0 done · 1 environment or failure · 2 usage · 3 unusable input · 4 refused by a gate · 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    import typer

SILENCED = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
"""No telemetry, ours or a library's, and no chatter of libraries between our lines."""

INTERRUPTED = "interrupted; the same command goes on where it stopped"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the documented code.

    Parameters
    ----------
    arguments : list of str, optional
        What follows ``curate``; the process's own arguments where not given.
    """
    words = sys.argv[1:] if arguments is None else arguments
    for name, value in SILENCED.items():
        os.environ.setdefault(name, value)
    # On a CPU it warns of a kernel package on import, which an encoder brings about too.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if hasattr(signal, "SIGXFSZ"):
        # A file-size limit must arrive as an error that can be told, not kill the process.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sys.exit(_run(words))


def load_commands() -> typer.Typer:
    """Return the app with the verbs of all command modules, which add them when they are imported."""
    from curate.flows.cli.app import app
    from curate.flows.cli.commands import (  # noqa: F401
        compression,
        evaluation,
        pipeline,
        publishing,
        queries,
        recovery,
        warehouse,
    )

    return app


def _run(words: list[str]) -> int:
    from curate.schemas.errors import CurateError

    debug = "--debug" in words
    try:
        load_commands()([word for word in words if word != "--debug"], prog_name="curate")
    except CurateError as error:
        if debug:
            raise
        return _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _say(INTERRUPTED, 130)
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as done:
        # Typer turns an interrupt into this before it reaches the line above.
        return _say(INTERRUPTED, 130) if done.code == 130 else _code(done.code)
    except OSError as error:
        if debug:
            raise
        where = f" ({error.filename})" if error.filename else ""
        return _say(f"the system refused: {error.strerror or error}{where}; free space or fix permissions", 1)
    except Exception as error:  # the last door: a person gets a sentence, a developer --debug
        if debug:
            raise
        text = " ".join(str(error).split())
        return _say(f"unexpected {type(error).__name__}: {text}; run again with --debug and report it", 1)
    return 0


def _say(text: str, code: int) -> int:
    print(f"curate: {text}", file=sys.stderr)
    return code


def _code(code: Any) -> int:
    return code if isinstance(code, int) else int(code is not None)
