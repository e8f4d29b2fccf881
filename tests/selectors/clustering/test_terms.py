import numpy as np
import pytest
from references.clustering import log_odds_loop

from curate.schemas.errors import InputError
from curate.selectors.clustering import terms
from curate.selectors.clustering.terms import cluster_terms, log_odds

TOPICS = (
    "sort the list of integers in python",
    "translate the sentence into french please",
    "how many apples are left after eating three",
)


def corpus(n: int = 30) -> tuple[list[str], np.ndarray[tuple[int], np.dtype[np.int32]]]:
    labels = (np.arange(n) % 3).astype(np.int32)
    return [f"{TOPICS[label]} item{row}" for row, label in enumerate(labels)], labels


def test_each_cluster_gets_its_own_words() -> None:
    result = cluster_terms(*corpus())
    assert len(result) == 3
    own = [{word for term in cluster for word in term.split()} for cluster in result]
    assert {"sort", "integers", "python"} <= own[0]
    assert {"translate", "sentence", "french"} <= own[1]
    assert {"apples", "eating"} <= own[2]
    assert not own[0] & own[1] | own[1] & own[2] | own[0] & own[2]


def test_scores_agree_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    documents = [{name for name in "abcde" if rng.random() < 0.2 + 0.2 * label} for label in labels]
    counts = np.array(
        [[sum(t in d for d, x in zip(documents, labels, strict=True) if x == c) for t in "abcde"] for c in range(3)]
    )
    scores = log_odds(counts.astype(float), np.bincount(labels).astype(float), 0.05)
    for c in range(3):
        for place, term in enumerate("abcde"):
            expected = log_odds_loop(documents, labels.tolist(), c, term, 0.05)
            assert scores[c, place] == pytest.approx(expected, rel=1e-9)


def test_a_term_in_every_row_of_a_cluster_has_a_finite_score() -> None:
    scores = log_odds(np.array([[10.0], [0.0]]), np.array([10.0, 10.0]))
    assert np.isfinite(scores).all()
    assert scores[0, 0] > 0 > scores[1, 0]


def test_terms_that_repeat_a_better_one_are_dropped() -> None:
    texts = ["prime numbers"] * 10 + ["odd numbers"] * 10 + ["weather report"] * 10
    labels = np.repeat([0, 0, 1], 10).astype(np.int32)
    first, second = cluster_terms(texts, labels)
    assert "numbers" in first
    assert not any(term.split()[-1] == "numbers" for term in first if term != "numbers")
    assert second == ["weather report"]


def test_one_long_row_cannot_name_a_cluster() -> None:
    texts, labels = corpus(60)
    texts[0] += " banana" * 200
    assert "banana" not in " ".join(cluster_terms(texts, labels)[0])


def test_shared_terms_are_not_characteristic() -> None:
    texts = ["common alpha", "common beta"] * 10
    result = cluster_terms(texts, np.array([0, 1] * 10, np.int32))
    assert all("common" not in cluster for cluster in result)


@pytest.mark.parametrize("texts", [[], ["", ""], ["the of and", "12 3"]])
def test_no_words_no_terms(texts: list[str]) -> None:
    assert cluster_terms(texts, np.arange(len(texts), dtype=np.int32)) == [[] for _ in texts]


def test_a_single_cluster_gets_its_commonest_terms_and_an_empty_one_none() -> None:
    assert cluster_terms(["alpha beta", "alpha, gamma"], np.zeros(2, np.int32)) == [["alpha", "beta", "gamma"]]
    assert cluster_terms(["alpha", "gamma"], np.array([0, 2], np.int32)) == [["alpha"], [], ["gamma"]]


def test_number_of_terms() -> None:
    assert [len(cluster) for cluster in cluster_terms(*corpus(), n_terms=2)] == [2, 2, 2]


def test_large_corpora_are_sampled_within_each_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = corpus(300)
    whole = cluster_terms(texts, labels)
    monkeypatch.setattr(terms, "MAX_ROWS", 100)
    read = terms._rows_read(labels)
    assert len(read) == 100
    assert np.ptp(np.bincount(labels[read])) <= 1
    assert [set(cluster) for cluster in cluster_terms(texts, labels)] == [set(cluster) for cluster in whole]


def test_different_lengths_are_an_error() -> None:
    with pytest.raises(InputError, match="2 texts for 3 labels"):
        cluster_terms(["a", "b"], np.zeros(3, np.int32))


def test_same_input_same_terms() -> None:
    assert cluster_terms(*corpus()) == cluster_terms(*corpus())
