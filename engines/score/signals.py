"""Arithmetic of every signal on tensors (docs/methods.md): divergence, gradient norms, and the scores made from them.

All functions are pure. Supervised tokens of several examples are *flattened*: M rows, example after example. Inputs
may have any floating dtype and device; every reduction is done in float32 or better.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from curate.engines.score.memory import BLOCK_ELEMENTS, BLOCK_ELEMENTS_OTHER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.engines.models.output_head import OutputHead

Tensor = torch.Tensor

LOG_FLOOR = -1e30
"""Stands for log 0: finite, so that 0 · log 0 is 0 and not NaN; far below any log-probability of a float32."""

TINY = torch.finfo(torch.float32).tiny


def block_elements(device: torch.device) -> int:
    """Return how many float32 elements an elementwise step should process at a time on `device`."""
    return BLOCK_ELEMENTS.get(device.type, BLOCK_ELEMENTS_OTHER)


class Distribution(NamedTuple):
    """Predictions for M tokens over a vocabulary of V."""

    log_p: Tensor
    """(M, V) float32, log-probabilities, `LOG_FLOOR` where the probability is 0."""
    p: Tensor
    """(M, V) float32."""
    nll: Tensor
    """(M,) float32, −log p of the target in nats, inf where its probability is 0."""


def distribution(logits: Tensor, targets: Tensor) -> Distribution:
    """Return the softmax of `logits` (M, V) and the negative log-likelihood of `targets` (M,) under it."""
    log_p = torch.log_softmax(logits.float(), dim=-1)
    nll = -log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
    # The nll is taken before the clamp: an impossible target has to stay inf and give the row its status.
    log_p.clamp_min_(LOG_FLOOR)
    return Distribution(log_p, log_p.exp(), nll.clamp_min(0.0))


def jensen_shannon(a: Distribution, b: Distribution) -> Tensor:
    """Return the Jensen–Shannon divergence of two predictions, token by token.

    ½ Σ pᵃ (log pᵃ − m) + ½ Σ pᵇ (log pᵇ − m), m = log(½ pᵃ + ½ pᵇ): one exponential per model (already computed) and
    one logarithm of the mixture. The same terms as in METHODS §1, which writes them with logaddexp. The mixture is
    positive wherever a weight is, so a probability that underflows contributes 0 and finite logits never give NaN.

    Returns
    -------
    Tensor of shape (M,), float32, nats in [0, ln 2]; larger = further apart. NaN where an input is NaN.
    """
    mixture = (a.p + b.p).mul_(0.5).clamp_min_(TINY).log_()
    left = (a.log_p - mixture).mul_(a.p).sum(-1)
    right = torch.sub(b.log_p, mixture, out=mixture).mul_(b.p).sum(-1)
    # Rounding can leave the interval by about 1e-7.
    return ((left + right) * 0.5).clamp(0.0, math.log(2.0))


class TokenSignals(NamedTuple):
    """Signals of M supervised tokens, each of shape (M,) and float32 but for `delta`."""

    nll: Tensor
    entropy: Tensor
    el2n: Tensor
    delta: Tensor
    """(M, V) float32, δ = p − onehot(target): the gradient of the token's loss by its logits."""
    divergence: Tensor | None = None
    """Jensen–Shannon divergence from the reference's prediction."""
    nll_reference: Tensor | None = None


def token_signals(logits: Tensor, targets: Tensor, reference: Tensor | None = None) -> TokenSignals:
    """Return the signals of M tokens from one model's logits or a pair's.

    Parameters
    ----------
    logits : Tensor of shape (M, V)
        Of the model about to be trained; not modified.
    targets : Tensor of shape (M,), int64
    reference : Tensor of shape (M, V), optional
        Logits of the original model.
    """
    own = distribution(logits, targets)
    entropy = -(own.log_p * own.p).sum(-1)
    divergence = nll_reference = None
    if reference is not None:
        other = distribution(reference, targets)
        divergence, nll_reference = jensen_shannon(other, own), other.nll
    # In place: `own` is not used below, and a second (M, V) tensor would double the memory.
    delta = own.p
    delta.scatter_add_(1, targets.unsqueeze(1), delta.new_full((len(targets), 1), -1.0))
    el2n = torch.linalg.vector_norm(delta, dim=-1)
    return TokenSignals(own.nll, entropy, el2n, delta, divergence, nll_reference)


def gradient_norm_squared(gradient: Tensor, hidden: Tensor) -> Tensor:
    """Return ‖Σ_t g_t h_tᵀ‖_F² of one example, by the cheaper of two exact forms.

    Σ_st (g_s·g_t)(h_s·h_t) costs T²(V + d). The explicit product gᵀh costs TVd and is computed in blocks of the
    vocabulary, so that V × d elements are never in memory at once.

    Parameters
    ----------
    gradient : Tensor of shape (T, V), float32
        Gradient of each token's loss with respect to W h_t.
    hidden : Tensor of shape (T, d), float32

    Returns
    -------
    Tensor of shape (), float64.
    """
    (length, vocabulary), width = gradient.shape, hidden.shape[1]
    if length * (vocabulary + width) <= vocabulary * width:
        return ((gradient @ gradient.T) * (hidden @ hidden.T)).sum(dtype=torch.float64)
    step = max(1, block_elements(gradient.device) // width)
    total = torch.zeros((), dtype=torch.float64, device=gradient.device)
    for block in gradient.split(step, dim=1):
        total += (block.T @ hidden).square_().sum(dtype=torch.float64)
    return total


def gradient_norm_squared_long(
    head: OutputHead, hidden: Tensor, targets: Tensor, log_norm: Tensor, step: int
) -> Tensor:
    """Return ‖Σ_t g_t h_tᵀ‖_F² of one example whose (T, V) logits do not fit into memory.

    A second pass over blocks of the vocabulary recomputes the logits of a block, and the stored log-sum-exp turns them
    into probabilities. Splitting the tokens into chunks instead would lose the products between chunks.

    Parameters
    ----------
    head : OutputHead
    hidden : Tensor of shape (T, d)
    targets : Tensor of shape (T,), int64
    log_norm : Tensor of shape (T,), float32
        log Σ_v exp z_tv.
    step : int
        Entries of the vocabulary per block.

    Returns
    -------
    Tensor of shape (), float64.
    """
    states = hidden.float()
    length, width = states.shape
    gram = torch.zeros((length, length), device=states.device)
    total = torch.zeros((), dtype=torch.float64, device=states.device)
    for start in range(0, head.vocabulary, step):
        part = head.rows(start, min(start + step, head.vocabulary))
        logits = part.logits(hidden)
        delta = (logits - log_norm.unsqueeze(1)).exp_()
        inside = ((targets >= start) & (targets < start + part.vocabulary)).nonzero().squeeze(1)
        delta[inside, targets[inside] - start] -= 1.0
        gradient = part.preactivation_gradient(delta, logits)
        # Blocks add up in both forms, because ‖·‖_F² and g gᵀ are sums over the vocabulary; take the smaller matrix.
        if length > width:
            total += (gradient.T @ states).square_().sum(dtype=torch.float64)
        else:
            gram += gradient @ gradient.T
    return total if length > width else (gram * (states @ states.T)).sum(dtype=torch.float64)


def delta_of_norm(
    gradient_squared: NDArray[np.float64], alignment: NDArray[np.float64], weight_squared: float, rate: float
) -> NDArray[np.float64]:
    """Return DON = ‖W − ηG‖ − ‖W‖ of each example (DONOD, arXiv 2504.14810): after minus before.

    Computed as (η²‖G‖² − 2η⟨W,G⟩) / (‖W‖ + ‖W − ηG‖), because the difference of the two norms cancels to rounding
    noise in float32 (docs/methods.md, Signals).

    Parameters
    ----------
    gradient_squared, alignment : ndarray of shape (n,), float64
        ‖G‖² and ⟨W, G⟩ of each example's mean loss.
    weight_squared : float
        ‖W‖² of the layer.
    rate : float
        η, the probe learning rate, > 0.

    Returns
    -------
    ndarray of shape (n,), float64, in units of the weight norm, signed; larger = better.
    """
    change = rate * rate * gradient_squared - 2.0 * rate * alignment
    # The sum is ‖W − ηG‖², which rounding can push below 0.
    return change / (math.sqrt(weight_squared) + np.sqrt(np.maximum(weight_squared + change, 0.0)))


def norm_of_delta(gradient_squared: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Return NOD = η‖G‖ of each example (DONOD), in units of the weight norm, ≥ 0; smaller = better."""
    return rate * np.sqrt(gradient_squared)


def instruction_following_difficulty(
    nll_given: NDArray[np.float64], nll_alone: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Superfiltering's ratio of perplexities (arXiv 2402.00530): how little the prompt helps with the response.

    Parameters
    ----------
    nll_given, nll_alone : ndarray of shape (n,), nats per token
        Over the same response tokens, with the prompt and without it.

    Returns
    -------
    ndarray of shape (n,), > 0; about 1 where the prompt does not help.
    """
    # An overflow stays inf: the row gets the status "non_finite:ifd".
    with np.errstate(over="ignore", invalid="ignore"):
        return np.exp(nll_given - nll_alone)
