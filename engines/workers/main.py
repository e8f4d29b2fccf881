"""Entry point of a worker process: ``python -m curate.engines.workers.main FD``, started by `workers.process`.

The worker receives its task and device over the socket FD, then one part after the other, and sends each result back.
It exits at once when the other end of the socket closes, so that no worker outlives a killed parent.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import warnings
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from curate.engines.library_output import silence_libraries
from curate.engines.workers.messages import failed, is_ours
from curate.schemas.peak_memory import peak_memory

if TYPE_CHECKING:
    from collections.abc import Sequence


class Worker:
    """The worker's side of the connection; its messages are those of `curate.engines.workers.messages`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._send_lock = threading.Lock()
        # A thread of its own reads the socket, so that a closed connection is seen while a part is being computed.
        threading.Thread(target=self._listen, daemon=True).start()

    def work(self) -> int:
        """Compute parts until the connection closes; return an exit code if a part or the loading fails."""
        try:
            task, device = self._inbox.get()
            facts, compute_part = task.open(device)
            self._send("ready", facts)
            while True:
                index, batch = self._inbox.get()
                result = compute_part(index, batch, lambda rows: self._send("rows", rows))
                self._send("done", index, result, peak_memory())
        except Exception as error:  # noqa: BLE001  (the parent waits for an answer, whatever went wrong)
            self._send(*failed(error))
        return 1

    def warn(self, message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        """Send this project's warnings to the parent; replaces `warnings.showwarning`."""
        if is_ours(category):
            self._send("warning", str(message))

    def _send(self, *message: object) -> None:
        # Batches that run concurrently report their rows from several threads.
        with self._send_lock:
            self._connection.send(message)

    def _listen(self) -> None:
        try:
            while True:
                self._inbox.put(self._connection.recv())
        except (EOFError, OSError):
            # sys.exit would end this thread only, and a part in a CUDA kernel cannot be interrupted otherwise.
            os._exit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Work for the process at the other end of the socket whose file descriptor is the first argument."""
    (descriptor,) = sys.argv[1:] if arguments is None else arguments
    # Ctrl-C reaches every process of the terminal; the parent decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence_libraries()
    worker = Worker(Connection(int(descriptor)))
    warnings.showwarning = worker.warn
    return worker.work()


if __name__ == "__main__":
    sys.exit(main())
