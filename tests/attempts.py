"""Runs the command line in a child process that kills itself (SIGKILL) at a chosen rename or time.

Children import this module, hence it is not a test file.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fork_server import CONTEXT


@dataclass(frozen=True)
class Kill:
    """When an attempt is killed: around the first new rename, or after some seconds."""

    survived: Path | None = None
    """File of renames at which earlier attempts were killed; this one is killed at the first that is not listed."""
    seconds: float | None = None


def run(arguments: list[str], kill: Kill | None = None) -> int:
    """Run ``curate`` with `arguments`; return its exit code, or -9 if it was killed."""
    child = CONTEXT.Process(target=_attempt, args=(arguments, kill))
    child.start()
    child.join(600)
    if child.is_alive():
        child.kill()
        raise TimeoutError(f"an attempt did not end within ten minutes: {arguments}")
    return child.exitcode if child.exitcode is not None else -1


def _attempt(arguments: list[str], kill: Kill | None) -> None:
    from curate.flows.cli.main import main

    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        if "CURATE_SHOW" not in os.environ:
            os.dup2(nowhere.fileno(), 2)
    if kill is not None and kill.seconds is not None:
        threading.Thread(target=_die_after, args=(kill.seconds,), daemon=True).start()
    if kill is not None and kill.survived is not None:
        _die_at_a_new_rename(kill.survived)
    main(arguments)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after(seconds: float) -> None:
    time.sleep(seconds)
    _die()


def _die_at_a_new_rename(survived: Path) -> None:
    """Patch all renames of the process; a target is identified by its path, run records by one common name."""
    known = set(survived.read_text().splitlines()) if survived.exists() else set()

    def note(moment: str) -> None:
        if moment not in known:
            with survived.open("a") as file:
                file.write(moment + "\n")
            _die()

    def watched(real: Any) -> Any:
        def rename(source: Any, target: Any, **options: Any) -> None:
            path = Path(target)
            place = "run record" if path.parent.name == "runs" else "/".join(path.parts[-3:])
            note(f"before {place}")
            real(source, target, **options)
            note(f"after {place}")

        return rename

    os.replace, os.rename = watched(os.replace), watched(os.rename)


def parts(warehouse: Path) -> dict[str, tuple[int, bytes]]:
    """Return modification time and bytes of every finished part, by its path in the warehouse."""
    files = warehouse.glob("*/*/*-[0-9][0-9][0-9][0-9][0-9].parquet")
    return {str(path.relative_to(warehouse)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
