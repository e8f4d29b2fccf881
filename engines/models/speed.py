"""Measures how fast a device multiplies matrices of a model's shape, for estimates of time before a model is loaded."""

from __future__ import annotations

import time

import torch

ROWS = 512
"""Rows of the product: tokens of a small batch."""
LARGEST = (2048, 8192)
"""Widest hidden state and feed-forward layer that are measured; a wider product is no faster."""
SECONDS = 0.2
"""Time that is measured, after a product that warms up."""


def operations_per_second(
    width: int, inner: int, device: torch.device, dtype: torch.dtype | None, threads: int
) -> float:
    """Return the rate of the products of a feed-forward layer, in floating-point operations per second.

    Parameters
    ----------
    width, inner : int
        Length of a hidden state, and of a token's feed-forward activations.
    device : torch.device
    dtype : torch.dtype or None
        None for the stored one, which is taken to be bfloat16.
    threads : int
        CPU threads of a product.

    Returns
    -------
    float
        On a CPU of its threads' own time, so that other programs do not count: what an idle machine would do.
    """
    width, inner = min(width, LARGEST[0]), min(inner, LARGEST[1])
    dtype = dtype or torch.bfloat16
    left = torch.ones(ROWS, width, device=device, dtype=dtype)
    right = torch.ones(width, inner, device=device, dtype=dtype)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        _product(left, right)
        began, count = _clock(device), 0
        while (used := _clock(device) - began) < SECONDS or not count:
            _product(left, right)
            count += 1
    finally:
        torch.set_num_threads(before)
    return 2.0 * ROWS * width * inner * count / used * (threads if device.type == "cpu" else 1)


def _clock(device: torch.device) -> float:
    """Return the seconds of all threads of the process, or of the wall clock where another device computes."""
    return time.process_time() if device.type == "cpu" else time.perf_counter()


def _product(left: torch.Tensor, right: torch.Tensor) -> None:
    torch.mm(left, right)
    if left.device.type == "cuda":
        torch.cuda.synchronize(left.device)
