"""Sketches of the gradient of an example's mean KL divergence with respect to the output layer.

g = (1/T) Σ_t (p_c,t − p_o,t) h_tᵀ is ∂(mean KL(p_o ‖ p_c)) / ∂W at the compressed model's W, a V × d matrix. Its sketch
is φ = (1/T) Σ_t (R₁ᵀ (p_c,t − p_o,t)) ⊗ (R₂ᵀ h_t), 64 × 64 numbers: R₁ is a CountSketch V → 64, R₂ Gaussian d → 64
with variance 1/64. As E R₁R₁ᵀ and E R₂R₂ᵀ are identities and the two are independent, E⟨φ_i, φ_j⟩ = ⟨g_i, g_j⟩.

Source: ours; CountSketch is Charikar et al. 2002, gradients of the output layer as representations are LESS's
(arXiv 2402.04333) without its backward pass. Departure: the bucket of a token is its id modulo 64 instead of a random
one. Random signs alone make products unbiased, and then a sketch is a sum over contiguous memory, where a scatter or a
product with a V × 64 matrix would cost several times as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from curate.schemas.sketches import SKETCH_SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.engines.models.output_head import OutputHead

Tensor = torch.Tensor

SEED = 0
"""Seed of the sketches in a warehouse; sketches of different seeds cannot be compared."""
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True, eq=False)
class SketchTables:
    """The random signs and projection of a sketch, on the device of the model."""

    signs: Tensor
    """(V,) float32, −1 or 1: the sign of each token id."""
    projection: Tensor
    """R₂, (d, 64) float32."""


def sketch_tables(vocabulary: int, width: int, device: torch.device, seed: int = SEED) -> SketchTables:
    """Return the tables for a model of `vocabulary` output ids and hidden states of `width` numbers."""
    projection = np.random.default_rng([seed, width]).standard_normal((width, SKETCH_SIDE)) / np.sqrt(SKETCH_SIDE)
    # Signs are a hash of the token id, so that an embedding matrix that was padded or extended keeps its sketches.
    signs = 1.0 - 2.0 * (_hash(np.arange(vocabulary, dtype=np.uint64), seed) >> np.uint64(63)).astype(np.float32)
    return SketchTables(
        torch.from_numpy(signs.astype(np.float32)).to(device),
        torch.from_numpy(projection.astype(np.float32)).to(device),
    )


def sketch_errors(
    delta: Tensor, targets: Tensor, reference: Tensor, head: OutputHead, logits: Tensor, tables: SketchTables
) -> Tensor:
    """Return R₁ᵀ (p_c − p_o) of M tokens, shape (M, 64), float32.

    Parameters
    ----------
    delta : Tensor of shape (M, V), float32
        p_c − onehot(target); not modified.
    targets : Tensor of shape (M,), int64
    reference : Tensor of shape (M, V), float32
        Logits of the original.
    head : OutputHead
        Of the compressed model: a scaled or capped one changes the gradient by W.
    logits : Tensor of shape (M, V), float32
        Of the compressed model; read for a capped head only.
    tables : SketchTables
    """
    difference = torch.softmax(reference, dim=-1)
    torch.sub(delta, difference, out=difference)
    if head.softcap is None:
        # The onehot cancels: adding it to the 64 sums is one element a token, to the difference a scatter over V.
        result = _bucket_sums(difference.mul_(tables.signs))
        bucket = targets.remainder(SKETCH_SIDE).unsqueeze(1)
        result.scatter_add_(1, bucket, tables.signs[targets].unsqueeze(1))
        return result * head.scale
    difference.scatter_add_(1, targets.unsqueeze(1), difference.new_ones((len(targets), 1)))
    return _bucket_sums(head.preactivation_gradient(difference, logits) * tables.signs)


def _bucket_sums(values: Tensor) -> Tensor:
    """Return the sums of `values` (M, V) over ids that are equal modulo 64, shape (M, 64)."""
    whole = values.shape[1] // SKETCH_SIDE * SKETCH_SIDE
    result: Tensor = values[:, :whole].unflatten(1, (-1, SKETCH_SIDE)).sum(1)
    result[:, : values.shape[1] - whole] += values[:, whole:]
    return result


def sketch_rows(errors: Tensor, hidden: Tensor, lengths: Sequence[int], tables: SketchTables) -> Tensor:
    """Return the sketches of the examples whose tokens follow one another, shape (n, 4096), float32.

    Parameters
    ----------
    errors : Tensor of shape (M, 64)
        From `sketch_errors`.
    hidden : Tensor of shape (M, d)
    lengths : sequence of int
        Tokens of each example, summing to M.
    """
    projected = hidden.float() @ tables.projection
    pairs = zip(errors.split(list(lengths)), projected.split(list(lengths)), strict=True)
    return torch.stack([(left.T @ right).flatten() / len(left) for left, right in pairs])


def mean_states(states: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return Σ t·h_t / Σ t over all tokens of each row, the later the heavier, shape (B, d), float32.

    Parameters
    ----------
    states : Tensor of shape (B, T, d)
        Final hidden states of rows padded on the right.
    lengths : sequence of int
        Tokens of each row, prompt included.

    Notes
    -----
    The representation of RDS+ (arXiv 2503.01807 §3), before its normalisation.
    """
    position = torch.arange(1, states.shape[1] + 1, device=states.device, dtype=torch.float32)
    sizes = torch.tensor(lengths, device=states.device).unsqueeze(1)
    weight = torch.where(position <= sizes, position, 0.0)
    weight = weight / weight.sum(1, keepdim=True)
    return (weight.unsqueeze(1) @ states.float()).squeeze(1)


def _hash(
    values: np.ndarray[tuple[int], np.dtype[np.uint64]], seed: int
) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return the 64-bit hashes of `values`, by the finaliser of SplitMix64."""
    with np.errstate(over="ignore"):
        mixed = (values + np.uint64(seed) * _MIX[1] + np.uint64(1)) * _MIX[0]
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[1]
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[2]
        return mixed ^ (mixed >> np.uint64(31))
