"""``curate deploy``: writes the files of scheduled runs into a folder, and waits until the Prefect server answers."""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path
from string import Template

from curate.schemas.errors import CurateError, UsageError

TEMPLATES = Path(__file__).parent / "templates"
_LOCAL = "http://127.0.0.1:4200/api"


def write_files(folder: Path) -> list[Path]:
    """Write ``prefect.yaml``, ``curate.env``, a Dockerfile and systemd units, and make the folder ``drop``.

    The units name the folder and the programs of this Python environment by their full paths, the Dockerfile names the
    version of this package.

    Raises
    ------
    UsageError
        If one of the files exists; none is written then.
    """
    target = folder.absolute()
    texts = {path.name: path.read_text("utf-8") for path in sorted(TEMPLATES.iterdir())}
    if taken := [target / name for name in texts if (target / name).exists()]:
        raise UsageError(f"{taken[0]} already exists; edit it, or delete it first")
    if any(character in str(target) for character in ' \n%"\\'):
        raise UsageError(f"systemd cannot work in the folder {str(target)!r}; choose a name without spaces and %")
    values = {"folder": str(target), "bin": str(Path(sys.executable).parent), "version": version("curate-llm")}
    (target / "drop").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = target / name
        # curate.env will hold a password.
        path.touch(0o600 if name == "curate.env" else 0o644)
        filled = path.suffix == ".service" or name == "Dockerfile"
        path.write_text(Template(text).substitute(values) if filled else text, "utf-8")
    return [target / name for name in texts]


def wait_for_server(seconds: float) -> str:
    """Return the address of the Prefect server as soon as it answers.

    Raises
    ------
    CurateError
        If it does not answer within `seconds`.
    """
    address = os.environ.get("PREFECT_API_URL", _LOCAL)
    deadline = time.monotonic() + seconds
    while True:
        reason = _refusal(f"{address}/health")
        if reason is None:
            return address
        if time.monotonic() > deadline:
            raise CurateError(
                f"no Prefect server answers at {address} after {seconds:g} s ({reason}); "
                "start it with `prefect server start`, or set PREFECT_API_URL"
            )
        time.sleep(0.5)


def _refusal(url: str) -> str | None:
    """Return why a server does not answer, None if it does."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return None if answer.status == 200 else f"status {answer.status}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
