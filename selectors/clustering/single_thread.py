"""Limits numerical libraries to one thread for linear algebra on small matrices.

Two threads on matrices of a few columns mostly wait for each other: on a machine that does anything else, the search
for the number of clusters took eight times as long with two threads as with one. One thread also adds in a fixed order,
so results do not depend on the number of processors.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit the loaded numerical libraries to one thread inside the block."""
    with _controller().limit(limits=1):
        yield


@cache
def _controller() -> ThreadpoolController:
    """Return the loaded libraries that start threads; cached, since the search costs more than k-means on few rows."""
    return ThreadpoolController()
