"""Compiled form of `signals.token_signals`, for vocabularies large enough to repay compilation.

Eager torch reads a block of logits from memory some fifteen times. Compilation fuses the passes into one exponential
per model and one logarithm of the mixture (0.1 ms per token at V = 32,000 instead of 0.3 ms). It needs a C++ compiler
on a CPU and Triton on a GPU; without them the eager form is used silently, because both agree to 1e-5.
"""

from __future__ import annotations

import math
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch

from curate.engines.score.memory import MIN_COMPILED_VOCABULARY
from curate.engines.score.signals import LOG_FLOOR, TINY, TokenSignals, token_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], TokenSignals]

Tensor = torch.Tensor
KernelKind = Literal["auto", "compiled", "eager"]

PROBE = (3, 64)
"""Tokens and vocabulary of the first call, which triggers compilation; both sizes are symbolic in the compiled code."""


def token_kernel(
    kind: KernelKind, vocabulary: int, device: torch.device, paired: bool, threads: int
) -> tuple[Kernel, str]:
    """Return the kernel to use, with the signature of `signals.token_signals`, and its name.

    A kernel may overwrite its ``logits`` with the ``delta`` that it returns.

    Parameters
    ----------
    kind : {"auto", "compiled", "eager"}
        ``"compiled"`` still falls back to eager if nothing can be compiled.
    vocabulary : int
        Logits per token.
    device : torch.device
    paired : bool
        Whether there is a reference model.
    threads : int
        CPU threads of each call; torch recompiles for another number.

    Returns
    -------
    (callable, {"compiled", "eager"})
    """
    compile_wanted = kind == "compiled" or (kind == "auto" and vocabulary >= MIN_COMPILED_VOCABULARY)
    if compile_wanted and _can_compile(device, paired, threads):
        return compiled_signals, "compiled"
    return token_signals, "eager"


def compiled_signals(logits: Tensor, targets: Tensor, reference: Tensor | None = None) -> TokenSignals:
    """Return what `signals.token_signals` returns; `logits`, float32, are overwritten with the ``delta``."""
    if reference is None:
        nll, entropy, el2n = _compiled(False)(logits, targets)
        return TokenSignals(nll, entropy, el2n, logits)
    nll, entropy, el2n, divergence, other = _compiled(True)(logits, targets, reference)
    return TokenSignals(nll, entropy, el2n, logits, divergence, other)


def single(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return nll, entropy and el2n of M tokens, each (M,) float32, and overwrite `logits` (M, V) with δ."""
    log_p, p, nll = _softmax(logits, targets)
    entropy = -(p * log_p).sum(-1)
    return nll, entropy, _subtract_target(logits, p, targets)


def paired(logits: Tensor, targets: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return `single` plus the divergence from `reference` (M, V) and its nll; see `signals.jensen_shannon`."""
    log_p, p, nll = _softmax(logits, targets)
    log_q, q, other = _softmax(reference, targets)
    mixture = ((p + q) * 0.5).clamp_min(TINY).log()
    divergence = (p * (log_p - mixture) + q * (log_q - mixture)).sum(-1) * 0.5
    entropy = -(p * log_p).sum(-1)
    el2n = _subtract_target(logits, p, targets)
    return nll, entropy, el2n, divergence.clamp(0.0, math.log(2.0)), other


def _softmax(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-probabilities, probabilities and the targets' nll, exponentiating once."""
    largest = logits.amax(-1, keepdim=True)
    exponentials = (logits - largest).exp()
    total = exponentials.sum(-1, keepdim=True)
    # Two subtractions: adding `largest` and `log_total` first would round away the differences between likely tokens.
    shifted, log_total = logits - largest, total.log()
    target = shifted.gather(1, targets.unsqueeze(1))
    nll = (log_total - target).squeeze(1).clamp_min(0.0)
    return (shifted - log_total).clamp_min(LOG_FLOOR), exponentials * total.reciprocal(), nll


def _subtract_target(logits: Tensor, p: Tensor, targets: Tensor) -> Tensor:
    """Overwrite `logits` with p − onehot(target) and return its norm, token by token."""
    # int32 indices: twice as many fit into a vector register, and no vocabulary comes near their limit.
    indices = torch.arange(logits.shape[1], dtype=torch.int32, device=logits.device)
    delta = torch.where(indices == targets.to(torch.int32).unsqueeze(1), p - 1.0, p)
    norm = (delta * delta).sum(-1).sqrt()
    logits.copy_(delta)
    return norm


@cache
def _compiled(pair: bool) -> Callable[..., tuple[Tensor, ...]]:
    # Dynamic shapes: every batch has another number of tokens, and one compilation serves all.
    return torch.compile(paired if pair else single, dynamic=True, fullgraph=True)


@cache
def _can_compile(device: torch.device, pair: bool, threads: int) -> bool:
    """Compile the kernel on a small input and return whether that worked."""
    rows, vocabulary = PROBE
    logits = torch.zeros((rows, vocabulary), device=device)
    before = torch.get_num_threads()
    try:
        # The compiled code is specialised to the thread count of its first call.
        torch.set_num_threads(threads)
        with torch.inference_mode():
            compiled_signals(
                logits, torch.zeros(rows, dtype=torch.int64, device=device), logits + 1.0 if pair else None
            )
    except (RuntimeError, OSError, ImportError, subprocess.SubprocessError):
        return False
    finally:
        torch.set_num_threads(before)
    return True
