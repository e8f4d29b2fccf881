"""Diffusion map of an affinity: its normalised operator, leading eigenpairs and two coordinates.

W̃ = Q^-1 W Q^-1 (Q the row sums of W), random walk P = D^-1 W̃, symmetric operator S = D^-½ W̃ D^-½ = D^½ P D^-½. S and
P have the same eigenvalues λ_j, and ψ_j = D^-½ v_j turns eigenvectors v_j of S into those of P; the diffusion
coordinates at time t are λ_j^t ψ_j.

Source: Coifman & Lafon 2006, §3, with α = 1; PASER, arXiv 2502.12594 §3.1. Only the symmetric operator is decomposed,
and only for its largest eigenvalues. A graph with several connected components is solved one component at a time, since
iterative solvers are unreliable for an eigenvalue that occurs many times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

if TYPE_CHECKING:
    from numpy.typing import NDArray

DENSE_ROWS = 300
"""Up to this many rows a dense decomposition is exact and faster."""

TOLERANCE = 1e-3
"""Relative accuracy of the eigenvalues; enough for the start of a factorisation and for a map."""

ARPACK_RESTARTS = 300
"""Restarts after which ARPACK is abandoned: ten times what graphs of 50,000 rows have needed."""


@dataclass(frozen=True)
class Operator:
    """The symmetric diffusion operator of an affinity."""

    matrix: sparse.csr_array
    """S = D^-½ W̃ D^-½, shape (n, n), symmetric, eigenvalues in [−1, 1]; rows of isolated vertices are empty."""
    degrees: NDArray[np.float64]
    """Row sums D of the density-normalised W̃, shape (n,); 0 for an isolated vertex."""


@dataclass(frozen=True)
class Spectrum:
    """Leading eigenpairs of an operator, largest first."""

    values: NDArray[np.float64]
    """Shape (m,), descending; exactly 1.0 once per connected component, as far as m reaches."""
    vectors: NDArray[np.float64]
    """Shape (n, m), orthonormal columns, each with its largest entry positive."""
    solver: str
    """``dense``, ``arpack``, or ``subspace`` if ARPACK did not converge."""


def diffusion_operator(affinity: sparse.csr_array, alpha: float = 1.0) -> Operator:
    """Return the density-normalised symmetric diffusion operator (Coifman & Lafon 2006, §3).

    W̃ = Q^-α W Q^-α with Q the row sums of W, then S = D^-½ W̃ D^-½. With α = 1 the result does not depend
    on the sampling density.

    Parameters
    ----------
    affinity : csr_array of shape (n, n)
        Symmetric, non-negative.
    alpha : float
        Strength of the density normalisation in [0, 1].
    """
    density = np.asarray(affinity.sum(axis=1)).ravel()
    thinned = _scaled(affinity, _power(density, -alpha))
    degrees = np.asarray(thinned.sum(axis=1)).ravel()
    return Operator(_scaled(thinned, _power(degrees, -0.5)), degrees)


def leading_eigenpairs(op: Operator, count: int, seed: int) -> Spectrum:
    """Return the `count` leading eigenpairs of the operator.

    Each connected component has the eigenvalue 1 with the known vector √D on its rows; the other pairs are solved per
    component and merged. With more components than `count`, the largest are taken (ties: the one with the first row).

    Parameters
    ----------
    op : Operator
    count : int
        Number of pairs, at least 1; fewer are returned if the graph has fewer rows.
    seed : int
        Seeds the start vectors. Same seed and threads: same bits.
    """
    n = len(op.degrees)
    count = min(count, n)
    pieces = _components(op)
    # Of the `count` largest eigenvalues, one is 1 in each component of two or more rows. So no component contributes
    # more than `count` less the ones of the others.
    n_joined = sum(len(rows) > 1 for rows in pieces)
    inner = max(count - n_joined + 1, 1)
    solved = [_solve_piece(op, rows, inner, seed) for rows in pieces[:count]]
    values = np.concatenate([part[0] for part in solved])
    owner = np.repeat(np.arange(len(solved)), [len(part[0]) for part in solved])
    column = np.concatenate([np.arange(len(part[0])) for part in solved])
    order = np.lexsort((column, owner, -values))[:count]
    vectors = np.zeros((n, len(order)))
    for place, pick in enumerate(order):
        piece = owner[pick]
        vectors[pieces[piece], place] = solved[piece][1][:, column[pick]]
    solvers = {part[2] for part in solved}
    return Spectrum(values[order], vectors, max(solvers, key=["dense", "arpack", "subspace"].index))


def diffusion_coordinates(spectrum: Spectrum, op: Operator, t: float = 1.0) -> NDArray[np.float32]:
    """Return the first two non-trivial diffusion coordinates λ_j^t ψ_j, ψ_j = D^-½ v_j.

    If the graph has several components, the eigenvalue 1 occurs once per component; the constant direction is rotated
    out of that eigenspace, and the remaining directions separate the components. Missing coordinates (tiny graphs) are
    0.

    Parameters
    ----------
    spectrum : Spectrum
        With at least three pairs if the graph has three rows.
    op : Operator
        The operator that it belongs to.
    t : float
        Diffusion time in steps; larger shrinks the finer structure.

    Returns
    -------
    ndarray of shape (n, 2), float32
        In units of 1/√(total degree), so that the scale does not depend on the number of rows.
    """
    values, vectors = spectrum.values, spectrum.vectors
    total = float(op.degrees.sum())
    out = np.zeros((len(op.degrees), 2))
    if total > 0:
        # In the eigenspace of 1, the coordinates of the trivial vector √D / ‖√D‖, whose ψ is constant. QR with it as
        # the first column completes it to an orthonormal basis; the other columns are non-trivial directions.
        trivial = vectors.T @ np.sqrt(op.degrees / total)
        same = np.flatnonzero(values == 1.0)
        basis = np.column_stack([trivial[same], np.eye(len(same))[:, : len(same) - 1]])
        rotated = vectors[:, same] @ np.linalg.qr(basis)[0][:, 1:]
        others = vectors[:, values != 1.0]
        picked = _signed(np.column_stack([rotated, others])[:, :2])
        # Negative eigenvalues have no real power t; their directions decay at once.
        decay = np.maximum(np.concatenate([np.ones(rotated.shape[1]), values[values != 1.0]])[:2], 0) ** t
        out[:, : picked.shape[1]] = picked * decay * (_power(op.degrees, -0.5) * np.sqrt(total))[:, None]
    return out.astype(np.float32)


def _components(op: Operator) -> list[NDArray[np.int64]]:
    """Return the rows of each connected component, largest first, isolated vertices last."""
    number, labels = connected_components(op.matrix, directed=False)
    sizes = np.bincount(labels, minlength=number)
    rows = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    return sorted(rows, key=lambda piece: (-len(piece), int(piece[0])))


def _solve_piece(
    op: Operator, rows: NDArray[np.int64], count: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Return the leading pairs of one connected component; the first is exact."""
    if len(rows) == 1:
        return np.zeros(1), np.ones((1, 1)), "dense"
    trivial = np.sqrt(op.degrees[rows])
    trivial /= np.linalg.norm(trivial)
    count = min(count, len(rows))
    if count == 1:
        return np.ones(1), trivial[:, None], "dense"
    matrix = op.matrix[rows][:, rows]
    values, vectors, solver = _leading_pairs(matrix, count, trivial, seed)
    vectors = _signed(vectors)
    # The first vector of the solver is √D up to its tolerance. It is replaced by the exact one, and the others are
    # made orthogonal to that.
    values[0], vectors[:, 0] = 1.0, trivial
    vectors[:, 1:] -= np.outer(trivial, trivial @ vectors[:, 1:])
    vectors[:, 1:] /= np.linalg.norm(vectors[:, 1:], axis=0)
    # By Perron–Frobenius 1 is simple in a component. The next values stay below 1, so that 1.0 counts components.
    return np.concatenate([[1.0], np.minimum(values[1:], np.nextafter(1.0, 0.0))]), vectors, solver


def _leading_pairs(
    matrix: Any, count: int, trivial: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Return the largest eigenpairs of a symmetric matrix: dense if small, else ARPACK or subspace iteration."""
    n = matrix.shape[0]
    if n <= max(DENSE_ROWS, 3 * count):
        values, vectors = np.linalg.eigh(matrix.toarray())
        return values[::-1][:count].copy(), vectors[:, ::-1][:, :count].copy(), "dense"
    rng = np.random.default_rng(seed)
    # Not the eigenvector alone: a Krylov space started from an exact eigenvector has dimension 1.
    start = trivial + rng.standard_normal(n) / np.sqrt(n)
    try:
        ncv = min(n, max(2 * count + 1, 40))
        values, vectors = eigsh(matrix, k=count, which="LA", tol=TOLERANCE, ncv=ncv, v0=start, maxiter=ARPACK_RESTARTS)
    except ArpackNoConvergence:
        return (*_subspace_iteration(matrix, count, trivial, rng), "subspace")
    order = np.argsort(-values, kind="stable")
    return values[order], vectors[:, order], "arpack"


def _subspace_iteration(
    matrix: Any, count: int, trivial: NDArray[np.float64], rng: np.random.Generator, sweeps: int = 200
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return eigenpairs by orthogonal iteration and Rayleigh–Ritz: slow, but always an orthonormal basis."""
    basis = rng.standard_normal((matrix.shape[0], count + 10))
    basis[:, 0] = trivial
    # (S + I)/2 has its spectrum in [0, 1], so the iteration converges to the largest eigenvalues, not to those of
    # largest magnitude.
    for _ in range(sweeps):
        basis = np.linalg.qr((matrix @ basis + basis) / 2)[0]
    values, rotation = np.linalg.eigh(basis.T @ (matrix @ basis))
    return values[::-1][:count].copy(), (basis @ rotation)[:, ::-1][:, :count].copy()


def _signed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the columns with their entry of largest magnitude positive: a solver may return either sign."""
    if vectors.size == 0:
        return vectors
    peak = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None, :], axis=0)
    return np.where(peak < 0, -vectors, vectors)


def _power(values: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Return values ** exponent, and 0 for 0, so that isolated vertices drop out."""
    out = np.zeros_like(values)
    np.power(values, exponent, out=out, where=values > 0)
    return out


def _scaled(matrix: sparse.csr_array, factor: NDArray[np.float64]) -> sparse.csr_array:
    """Return diag(factor) · matrix · diag(factor), exactly symmetric where `matrix` is."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    # The product of the two factors comes first: it is the same for (i, j) and (j, i), so symmetry holds to the bit.
    data = matrix.data * (factor[rows] * factor[matrix.indices])
    return sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
