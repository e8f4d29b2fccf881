"""One of several processes that work on parts: ``python -m curate.engines.workers.main FD``, started by `parallel`.

Over a socket it is given the work and its device, then one part after the other, and answers with what came of each.
It ends at once when the other end closes, whatever it is doing, so that nobody has to look for it after a kill.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import traceback
import warnings
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from curate.engines.library_output import hush
from curate.schemas.errors import CurateError
from curate.schemas.peak_memory import peak_memory

if TYPE_CHECKING:
    from collections.abc import Sequence


class Worker:
    """The process, seen from inside.

    Messages are tuples: ``("ready", facts)``, ``("rows", number)``, ``("done", part, result, peak)``,
    ``("warning", text)`` and, last, ``("failed", exit_code, sentence, traceback)``.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._given: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._one_at_a_time = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def work(self) -> int:
        """Do parts until the other end closes; return an exit code where something fails before."""
        try:
            task, device = self._given.get()
            facts, do = task.open(device)
            self._tell("ready", facts)
            while True:
                index, batch = self._given.get()
                result = do(index, batch, lambda rows: self._tell("rows", rows))
                self._tell("done", index, result, peak_memory())
        except CurateError as error:
            self._tell("failed", error.exit_code, str(error), traceback.format_exc())
        except Exception as error:  # noqa: BLE001  (whatever it is, the process that waits has to hear of it)
            sentence = f"{type(error).__name__}: {error}"
            self._tell("failed", CurateError.exit_code, sentence, traceback.format_exc())
        return 1

    def warn(self, message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        """Hand on what a person should know; in the place of `warnings.showwarning`. What libraries say is left out."""
        if issubclass(category, RuntimeWarning):
            self._tell("warning", str(message))

    def _tell(self, *message: object) -> None:
        # Batches that run side by side tell of their rows from threads of their own.
        with self._one_at_a_time:
            self._connection.send(message)

    def _listen(self) -> None:
        try:
            while True:
                self._given.put(self._connection.recv())
        except (EOFError, OSError):
            os._exit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Work for the process at the other end of the socket whose number is the first argument."""
    (number,) = sys.argv[1:] if arguments is None else arguments
    # Ctrl-C reaches every process of the terminal; the one that started this decides when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hush()
    worker = Worker(Connection(int(number)))
    warnings.showwarning = worker.warn
    return worker.work()


if __name__ == "__main__":
    sys.exit(main())
