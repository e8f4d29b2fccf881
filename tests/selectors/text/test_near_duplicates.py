import random

import numpy as np
import pytest
from references.blobs import blobs
from references.clustering import distances_dense
from references.duplicates import drop_loop, grams_loop, jaccard_loop

from curate.schemas.errors import MissingExtraError
from curate.selectors.text import near_duplicates
from curate.selectors.text.near_duplicates import WORDS, lexical, semantic
from curate.selectors.text.shingles import shingles

VOCABULARY = [f"word{i}" for i in range(400)]


def texts(n: int, repeated: int, seed: int = 0) -> list[tuple[str, str]]:
    """Random texts, some of them again with a word or two exchanged, in any order."""
    draw = random.Random(seed)
    rows = [draw.choices(VOCABULARY, k=draw.randint(5, 60)) for _ in range(n)]
    for _ in range(repeated):
        row = list(draw.choice(rows))
        for _ in range(draw.randint(0, 2)):
            row[draw.randrange(len(row))] = draw.choice(VOCABULARY)
        rows.append(row)
    draw.shuffle(rows)
    return [(" ".join(row[: len(row) // 2]), " ".join(row[len(row) // 2 :])) for row in rows]


def test_lexical_drops_what_the_loop_drops() -> None:
    rows = texts(200, 120)
    sets = [grams_loop(row, WORDS) for row in rows]
    result = lexical(shingles(rows, WORDS), 0.8)
    expected = drop_loop(len(rows), lambda a, b: jaccard_loop(sets[a], sets[b]) >= 0.8)
    assert (result.keeper >= 0).tolist() == expected
    assert sum(expected) > 40
    for row in np.flatnonzero(result.keeper >= 0):
        assert result.keeper[row] < row
        assert result.keeper[result.keeper[row]] == -1
        assert result.similarity[row] >= 0.8
    assert np.isnan(result.similarity[result.keeper < 0]).all()


def test_texts_without_words_are_not_duplicates() -> None:
    assert (
        lexical(shingles([("…", ""), ("", "!"), ("a b c d", ""), ("a b c d", "")], WORDS), 0.8).keeper
    ).tolist() == [
        -1,
        -1,
        -1,
        2,
    ]


def test_twenty_thousand_copies_are_reduced_to_one() -> None:
    result = lexical(shingles([("the same old text again", "and the same answer")] * 20_000, WORDS), 0.8)
    assert result.keeper[0] == -1
    assert (result.keeper[1:] == 0).all()
    assert (result.similarity[1:] == 1).all()


def test_semantic_drops_what_the_loop_drops() -> None:
    rows, group = blobs(300, 12, noise=0.06)
    rows = np.vstack([rows, rows[::10] + 0.001]).astype(np.float32)
    cluster = np.append(group, group[::10]).astype(np.int32)
    cosine = 1 - distances_dense(rows)
    threshold = 0.97
    result = semantic(rows, cluster, threshold)
    expected = drop_loop(len(rows), lambda a, b: bool(cluster[a] == cluster[b] and cosine[a, b] >= threshold))
    kept = np.flatnonzero(result.keeper < 0)
    # Rounds may drop a row that the loop keeps, but no two kept rows are a pair, and most decisions agree.
    close = (cosine[np.ix_(kept, kept)] >= threshold) & (cluster[kept][:, None] == cluster[kept])
    assert close.sum() == len(kept)
    assert np.mean((result.keeper >= 0) == expected) > 0.95
    assert (result.keeper[300:] >= 0).all()
    assert all(cluster[row] == cluster[result.keeper[row]] for row in np.flatnonzero(result.keeper >= 0))


def test_semantic_keeps_copies_in_other_clusters() -> None:
    rows = np.tile(np.array([[1.0, 2.0]], np.float32), (4, 1))
    assert semantic(rows, np.array([0, 1, 0, 1], np.int32), 0.95).keeper.tolist() == [-1, -1, 0, 1]


def test_more_copies_than_neighbours_are_reduced_to_one() -> None:
    rows = np.tile(np.array([[1.0, 2.0]], np.float32), (40, 1))
    assert semantic(rows, np.zeros(40, np.int32), 0.95).keeper.tolist() == [-1] + [0] * 39


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(MissingExtraError, match="dedup"):
        near_duplicates.band_keys(shingles([("a b c",)], WORDS))
