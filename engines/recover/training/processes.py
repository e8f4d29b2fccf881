"""The processes that train one model together: who takes which rows, and how their gradients become one.

Every process holds the whole model and takes a part of each step's rows; gradients are added up before the optimiser's
step, which every process then takes alike. Each loss is already divided by the supervised tokens of the *whole* step,
so that the sum is the gradient that one process would have, to rounding; averaging over processes would weigh rows by
the company they came in. The first process alone writes. Knows nothing of models and losses.
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

PATIENCE = timedelta(days=7)
"""How long a process waits for the others: the first measures and writes alone, and the launcher ends those whose
company is gone."""


@dataclass(frozen=True)
class Ranks:
    """Which process this is among those that train together; alone by default."""

    index: int = 0
    count: int = 1
    device: torch.device | None = None
    """Where tensors are exchanged."""

    @property
    def first(self) -> bool:
        """Whether this is the process that measures and writes."""
        return self.index == 0

    def share(self, lengths: Sequence[int]) -> list[int]:
        """Return which rows of a step this process takes, all of them when it is alone.

        Dealt out from the longest to the shortest, so that the processes have about as many tokens.
        """
        if self.count == 1:
            return list(range(len(lengths)))
        return sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))[self.index :: self.count]

    def add_up(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by the sum over all processes; one that is missing counts as zero."""
        if self.count == 1:
            return
        with self._together():
            waiting = []
            for one in parameters:
                if one.grad is None:
                    one.grad = torch.zeros_like(one)
                waiting.append(dist.all_reduce(one.grad, async_op=True))
            for work in waiting:
                work.wait()

    def gather(self, *numbers: float) -> list[list[float]]:
        """Return the numbers that each process gave, in the order of the processes; waits for all of them."""
        if self.count == 1:
            return [list(numbers)]
        found = torch.zeros((self.count, len(numbers)), dtype=torch.float64, device=self.device)
        found[self.index] = torch.tensor(numbers, dtype=torch.float64)
        with self._together():
            dist.all_reduce(found)
        return found.tolist()

    def spread(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give every process the numbers of the first."""
        if self.count > 1:
            for one in tensors:
                with self._together():
                    dist.broadcast(one.detach(), 0)

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let the first process do something alone, then the others, who find what it did."""
        if not self.first:
            self.gather(0.0)
        yield
        if self.first:
            self.gather(0.0)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Turn a broken connection into a sentence."""
        try:
            yield
        except RuntimeError as error:
            raise CompanyGoneError(
                f"another of the {self.count} processes that train together ended without a word, perhaps for want "
                "of memory; run the same command again to go on at the last checkpoint, or add --processes 1"
            ) from error


class CompanyGoneError(CurateError):
    """Another process is gone; what it said before, if anything, is the better reason."""


ALONE = Ranks()


def join(index: int, count: int, device: str) -> Ranks:
    """Meet the other processes that the launcher started; `ALONE` where there are none.

    Parameters
    ----------
    index, count : int
        Which process this is, of how many.
    device : str
        As in a request: ``auto`` and ``cuda`` mean a CUDA device of its own for each process.

    Raises
    ------
    UsageError
        When the device is a single one, or there are fewer devices than processes.
    """
    if count == 1:
        return ALONE
    there = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if (there or device.startswith("cuda")) and there < count:
        raise UsageError(
            f"{count} processes need a CUDA device each, and --device {device} means {there or 'a single one'}; "
            "lower --processes, or use --device cuda"
        )
    local = int(os.environ.get("LOCAL_RANK", "0"))
    place = torch.device("cuda", local) if there else torch.device("cpu")
    if there:
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if there else "gloo", timeout=PATIENCE)
    return Ranks(index, count, place)


def leave() -> None:
    """Part from the other processes, without waiting for them."""
    if dist.is_initialized():
        dist.destroy_process_group()
