"""Data-parallel training: splits the rows of each step among processes and sums their gradients.

Every process holds the whole model and takes a part of each step's rows; gradients are summed before the optimiser's
step, which every process then takes alike. Each loss is already divided by the supervised tokens of the *whole* step,
so that the sum is the gradient of a single process, up to rounding; the mean over processes would weigh a row by the
other rows of its process. Only the first process writes files.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from curate.schemas.errors import CurateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TIMEOUT = timedelta(days=7)
"""How long a process waits for the others. Long, since the first measures and writes alone; after a crash the launcher
ends the remaining processes, not this timeout."""


@dataclass(frozen=True)
class ProcessGroup:
    """Index of this process among those that train together; a single process by default."""

    index: int = 0
    size: int = 1
    device: torch.device | None = None
    """Where tensors are exchanged."""

    @property
    def is_first(self) -> bool:
        """Whether this is the process that measures and writes."""
        return self.index == 0

    def own_rows(self, lengths: Sequence[int]) -> list[int]:
        """Return the rows of a step that this process takes, given the lengths of all its rows in tokens.

        Dealt out in turn from the longest to the shortest, so that all processes have about as many tokens.
        """
        if self.size == 1:
            return list(range(len(lengths)))
        return sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))[self.index :: self.size]

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes; a missing one counts as zero."""
        if self.size == 1:
            return
        with self._connection_errors():
            pending = []
            for one in parameters:
                # A process without rows in this step has no gradients, and must take part in every exchange.
                if one.grad is None:
                    one.grad = torch.zeros_like(one)
                pending.append(dist.all_reduce(one.grad, async_op=True))
            for work in pending:
                work.wait()

    def gather(self, *numbers: float) -> list[list[float]]:
        """Return the numbers of every process, in the order of the processes; waits for all of them."""
        if self.size == 1:
            return [list(numbers)]
        # Each process fills its own row, so that the sum over processes is the whole table.
        table = torch.zeros((self.size, len(numbers)), dtype=torch.float64, device=self.device)
        table[self.index] = torch.tensor(numbers, dtype=torch.float64)
        with self._connection_errors():
            dist.all_reduce(table)
        return table.tolist()

    def broadcast(self, tensors: Iterable[torch.Tensor]) -> None:
        """Copy the values of the first process to every process."""
        if self.size > 1:
            for one in tensors:
                with self._connection_errors():
                    dist.broadcast(one.detach(), 0)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Run the block in the first process, then in the others, which can use the files that it wrote."""
        if not self.is_first:
            self.gather(0.0)
        yield
        if self.is_first:
            self.gather(0.0)

    @contextmanager
    def _connection_errors(self) -> Iterator[None]:
        """Raise ProcessLostError for a broken connection."""
        try:
            yield
        except RuntimeError as error:
            raise ProcessLostError(
                f"another of the {self.size} processes that train together ended without an error message, perhaps "
                "because memory ran out; run the same command again to resume at the last checkpoint, or add "
                "--processes 1"
            ) from error


class ProcessLostError(CurateError):
    """Another process died; its own error message, if it left one, is the cause."""


SINGLE_PROCESS = ProcessGroup()


def join_group(index: int, size: int, device: str) -> ProcessGroup:
    """Connect to the other processes that the launcher started; return `SINGLE_PROCESS` if there are none.

    Parameters
    ----------
    index, size : int
        The number of this process, and the number of processes.
    device : str
        As in a request; ``auto`` and ``cuda`` give each process a CUDA device of its own.

    Raises
    ------
    UsageError
        When the device is a single one, or there are fewer devices than processes.
    """
    if size == 1:
        return SINGLE_PROCESS
    available = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if (available or device.startswith("cuda")) and available < size:
        raise UsageError(
            f"{size} processes need a CUDA device each, and --device {device} means {available or 'a single one'}; "
            "lower --processes, or use --device cuda"
        )
    local = int(os.environ.get("LOCAL_RANK", "0"))
    own_device = torch.device("cuda", local) if available else torch.device("cpu")
    if available:
        torch.cuda.set_device(own_device)
    dist.init_process_group("nccl" if available else "gloo", timeout=TIMEOUT)
    return ProcessGroup(index, size, own_device)


def leave_group() -> None:
    """Disconnect from the other processes, without waiting for them."""
    if dist.is_initialized():
        dist.destroy_process_group()
