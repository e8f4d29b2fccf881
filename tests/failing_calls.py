"""Verbs in processes of which one call to the kernel fails, whichever library makes it; used by tests/reliability.

`Server` starts this file with the library of `fail_nth_call.c` preloaded. It imports everything once and forks a child
per verb, whose environment says which call fails. It runs no model itself: a fork would lose the threads of torch.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import fork_server
import reliable_verbs

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

SOURCE = Path(__file__).with_name("fail_nth_call.c")
CALLERS = ("Python", "DuckDB", "Arrow", "others")
"""Who makes a call; the others are torch, safetensors, tokenizers and polars."""
KINDS: dict[str, tuple[int, ...]] = {
    "open": (errno.EIO, errno.EACCES, errno.ENOSPC, errno.EDQUOT),
    "read": (errno.EIO, errno.EACCES),
    "write": (errno.EIO, errno.ENOSPC, errno.EDQUOT),
    "fsync": (errno.EIO, errno.ENOSPC, errno.EDQUOT),
    "ftruncate": (errno.EIO, errno.ENOSPC, errno.EDQUOT),
    "rename": (errno.EIO, errno.EACCES, errno.ENOSPC, errno.EDQUOT),
    "unlink": (errno.EIO, errno.EACCES),
    "mmap": (errno.EIO, errno.EACCES),
}
"""Kinds of calls in the order of the C file, each with the errors that it can have."""
LONGEST = 600
"""Seconds after which a verb is killed."""


@dataclass(frozen=True)
class Fault:
    """The call that fails."""

    counter: int
    """Index of its kind and caller among the counters."""
    nth: int
    """Counted from 1."""
    code: int
    lasting: bool
    """Later calls of the kind and caller fail too."""

    @property
    def what(self) -> tuple[str, str]:
        """Caller and kind."""
        return CALLERS[self.counter % len(CALLERS)], list(KINDS)[self.counter // len(CALLERS)]


def draw_fault(draw: random.Random, counts: tuple[int, ...]) -> Fault:
    """Return a fault of a verb that makes `counts` calls: callers are equally likely, and kinds of one caller."""
    made = [index for index, count in enumerate(counts) if count]
    caller = draw.choice(sorted({index % len(CALLERS) for index in made}))
    counter = draw.choice([index for index in made if index % len(CALLERS) == caller])
    codes = list(KINDS.values())[counter // len(CALLERS)]
    return Fault(counter, draw.randint(1, counts[counter]), draw.choice(codes), draw.random() < 0.5)


class Server:
    """A process with all libraries that runs verbs in forked children; a context manager.

    Parameters
    ----------
    folder : Path
        For the compiled library, the counters and what verbs print.
    """

    def __init__(self, folder: Path) -> None:
        library = folder / "fail_nth_call.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        self._counts, self._err = folder / "counts", folder / "err"
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "LD_PRELOAD": str(library)},
            text=True,
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, folder: Path, verb: str, fault: Fault | None = None) -> reliable_verbs.Ended:
        """Run a verb in a prepared folder, and count its calls on paths in that folder."""
        self._counts.write_bytes(bytes(8 * len(CALLERS) * len(KINDS)))
        example = (folder / "id").read_text()
        words = [word.format(folder, id=example) for word in reliable_verbs.VERBS[verb]]
        environment = {"FAIL_FOLDER": str(folder), "FAIL_COUNTS": str(self._counts)}
        if fault is not None:
            numbers = {"FAIL_COUNTER": fault.counter, "FAIL_NTH": fault.nth, "FAIL_ERRNO": fault.code}
            environment |= {name: str(value) for name, value in numbers.items()}
            environment |= {"FAIL_LASTING": "1"} if fault.lasting else {}
        request = {"words": [*words, "-w", str(folder / "w"), "--threads", "1"], "err": str(self._err)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({**request, "environment": environment}), file=self._process.stdin, flush=True)
        return reliable_verbs.Ended(int(self._process.stdout.readline()), self._err.read_text())

    def counts(self) -> tuple[int, ...]:
        """Return the calls of each kind and caller in the last run."""
        return struct.unpack(f"{len(CALLERS) * len(KINDS)}Q", self._counts.read_bytes())

    def undisturbed(self, base: Path, folder: Path, verb: str) -> tuple[dict[str, bytes], tuple[int, ...]]:
        """Return what a verb leaves in a copy of `base` if nothing interferes, and its calls."""
        ended = self.run(reliable_verbs.copied(base, folder), verb)
        assert ended.code == 0, (verb, ended)
        left = reliable_verbs.content(folder)
        shutil.rmtree(folder)
        return left, self.counts()


def _serve() -> None:
    for library in fork_server.LIBRARIES:
        importlib.import_module(library)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _child(request["words"], request["err"], request["environment"])
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _child(words: list[str], err: str, environment: Mapping[str, str]) -> None:
    from curate.flows.cli.main import main

    signal.alarm(LONGEST)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    for number, path in ((1, os.devnull), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(environment)
    try:
        main(words)
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(int(end.code or 0))  # without the ends of threads of libraries, which the fork has not copied


if __name__ == "__main__":
    _serve()
