"""A PostgreSQL server on the loopback interface for the tests that need one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DEBIAN = Path("/usr/lib/postgresql")
USER = "postgres"


def programs() -> Path | None:
    """Return the folder of ``initdb``, ``pg_ctl`` and ``psql``, None where there is no PostgreSQL."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return folders[-1].parent if folders else None


@dataclass(frozen=True)
class Postgres:
    """A running server; on its socket the superuser `USER` needs no password."""

    programs: Path
    folder: Path
    port: int

    def query(self, statements: str) -> str:
        """Run SQL as the superuser and return the rows."""
        where = ("-h", self.folder, "-p", str(self.port), "-U", USER)
        # A database cannot be created within the transaction that -c would open for several statements.
        return _run(self.programs / "psql", *where, "-At", "-v", "ON_ERROR_STOP=1", text=statements)


@contextmanager
def postgres(programs: Path) -> Iterator[Postgres]:
    """Start a server in a new folder, and remove both at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    # A path of pytest is too long for a socket.
    with TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, USER)
        data = folder / "data"
        _run(programs / "initdb", "-D", data, "-U", USER, "--auth-local=trust", "--auth-host=scram-sha-256", "-N")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        _run(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield Postgres(programs, folder, port)
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")


def _run(*command: str | Path, text: str = "") -> str:
    user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*user, *map(str, command)], input=text, capture_output=True, text=True, timeout=120, cwd="/")
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
