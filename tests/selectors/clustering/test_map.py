"""The map: discs do not overlap, similar clusters are close, every row is in its disc."""

from __future__ import annotations

import numpy as np
import pytest

from curate.selectors.clustering.map import classical_scaling, cluster_map, disc, discs, separate_discs


def clusters(sizes: list[int], seed: int = 0, width: int = 12) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rows = draw.normal(size=(len(sizes), width))[labels] + 0.3 * draw.normal(size=(len(labels), width))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), labels


def test_every_row_is_in_its_disc_and_no_two_discs_overlap() -> None:
    rows, labels = clusters([300, 120, 60, 30, 7, 1])
    places, (centres, radii) = cluster_map(rows, labels), discs(rows, labels)
    assert places.shape == (len(rows), 2)
    assert np.all(np.linalg.norm(places - centres[labels], axis=1) <= radii[labels] + 1e-6)
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    assert np.all((apart >= radii[:, None] + radii[None]) | np.eye(6, dtype=bool))
    assert np.array_equal(places, cluster_map(rows, labels))


def test_discs_are_separated_even_from_one_point() -> None:
    radii = np.array([0.3, 0.2, 0.1, 0.25])
    centres = separate_discs(np.zeros((4, 2)), radii)
    for i in range(4):
        for j in range(i):
            assert np.linalg.norm(centres[i] - centres[j]) >= radii[i] + radii[j] - 1e-6


def test_scaling_keeps_the_distances_of_points_in_a_plane() -> None:
    flat = np.random.default_rng(1).normal(size=(9, 2))
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 2)))[0]
    result = classical_scaling(flat @ turn.T + 3.0)
    wanted = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    got = np.linalg.norm(result[:, None] - result[None], axis=-1)
    assert np.allclose(got / got.max(), wanted / wanted.max())
    assert np.abs(result).max() == pytest.approx(1.0)


def test_a_disc_is_evenly_filled() -> None:
    rows = np.random.default_rng(3).normal(size=(400, 6)) ** 3
    length = np.linalg.norm(disc(rows - rows.mean(axis=0)), axis=1)
    assert np.allclose(np.sort(length) ** 2, np.arange(400) / 400)


@pytest.mark.parametrize(("sizes", "width"), [([1], 4), ([2], 4), ([5], 1), ([1, 1, 1], 2)])
def test_corpora_of_a_few_rows(sizes: list[int], width: int) -> None:
    rows, labels = clusters(sizes, width=width)
    assert np.isfinite(cluster_map(rows, labels)).all()


def test_rows_that_are_all_the_same() -> None:
    rows = np.tile([[1.0, 0.0, 0.0]], (8, 1))
    assert np.isfinite(cluster_map(rows, np.arange(8) % 2)).all()
