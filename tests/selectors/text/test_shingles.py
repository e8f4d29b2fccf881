import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from references.duplicates import grams_loop, jaccard_loop

from curate.selectors.text.shingles import shingles

WORDS = st.lists(st.sampled_from("a bb Ccc dd,d ee-e ſtraße 12 …".split()), max_size=12).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6), n=st.integers(1, 5))
def test_sizes_and_overlaps_are_those_of_sets(texts: list[tuple[str, str]], n: int) -> None:
    result = shingles(texts, n)
    sets = [grams_loop(pieces, n) for pieces in texts]
    assert np.diff(result.offsets).tolist() == [len(one) for one in sets]
    first, second = np.arange(len(texts)), np.arange(len(texts))[::-1].copy()
    from curate.selectors.text.shingles import jaccard

    expected = [jaccard_loop(sets[i], sets[j]) for i, j in zip(first, second, strict=True)]
    np.testing.assert_allclose(jaccard(result.of(first), result.of(second)), expected)


def test_hashes_do_not_depend_on_other_texts() -> None:
    alone = shingles([("the quick brown fox",)], 3)
    among = shingles([("an old dog sleeps",), ("The QUICK, brown fox!",)], 3)
    assert among.of(np.array([1])).values.tolist() == alone.values.tolist()


def test_no_ngram_spans_prompt_and_response() -> None:
    assert np.diff(shingles([("one two", "three four"), ("one two three four",)], 3).offsets).tolist() == [2, 2]


def test_scripts_without_spaces_are_split_into_characters() -> None:
    assert np.diff(shingles([("今日は天気がいい",), ("日本語", ""), ("", "")], 3).offsets).tolist() == [6, 1, 0]


def test_no_texts() -> None:
    result = shingles([], 3)
    assert len(result) == 0
    assert len(result.values) == 0
