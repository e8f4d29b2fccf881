import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.clustering import rake_loop

from curate.selectors.text.concepts import MAX_WORDS, MOST, extract, key_phrases
from curate.selectors.text.words import normalised, runs

WORDS = st.sampled_from(["linear", "systems", "equation", "sorting", "list", "of", "the", ",", ".", "\n", "prime", "x"])


@given(st.lists(WORDS, max_size=60).map(" ".join), st.integers(1, 15))
def test_agrees_with_counting_pair_by_pair(text: str, most: int) -> None:
    expected = [phrase for phrase, _ in rake_loop(list(runs(normalised(text))), most)]
    assert key_phrases(text, most) == expected


def test_by_hand() -> None:
    # linear: degree 2 + 3 over 2; systems 2; diophantine, equations 3; sorting 1.
    text = "linear systems and linear diophantine equations, sorting"
    assert key_phrases(text) == ["linear diophantine equations", "linear systems", "sorting"]


def test_ties_are_alphabetical_and_the_number_is_bounded() -> None:
    names = [f"word{chr(97 + i)}" for i in range(26)]
    assert key_phrases(", ".join(reversed(names))) == names[:MOST]
    assert key_phrases(", ".join(names), 3) == names[:3]


def test_long_runs_count_as_single_words() -> None:
    run = ["alpha", "beta", "gamma", "delta", "epsilon"]
    assert key_phrases(" ".join(run[:MAX_WORDS])) == ["alpha beta gamma delta"]
    assert key_phrases(" ".join(run)) == sorted(run)


def test_ids_are_in_order_of_occurrence_and_sorted_within_a_row() -> None:
    result = extract(["green apples", "", "red pears. green apples", "green apples. Red  Pears!"])
    assert result.phrases == ["green apples", "red pears"]
    assert result.offsets.tolist() == [0, 1, 1, 3, 5]
    assert result.values.tolist() == [0, 0, 1, 0, 1]
    assert result.offsets.dtype == np.int64
    assert result.values.dtype == np.int32


@given(st.lists(st.text(max_size=80), max_size=12))
def test_every_row_has_its_phrases(texts: list[str]) -> None:
    result = extract(iter(texts))
    assert len(result.offsets) == len(texts) + 1
    assert len(set(result.phrases)) == len(result.phrases)
    for i, text in enumerate(texts):
        ids = result.values[result.offsets[i] : result.offsets[i + 1]].tolist()
        assert ids == sorted(set(ids))
        assert {result.phrases[concept] for concept in ids} == set(key_phrases(text))


def test_no_texts() -> None:
    result = extract([])
    assert (result.offsets.tolist(), result.values.tolist(), result.phrases) == ([0], [], [])


@pytest.mark.parametrize(
    "text", ["机器学习模型的训练数据", "def add(x_one, y_two):\n    return x_one + y_two", "\ud800\x00 abc"]
)
def test_other_scripts_code_and_broken_text_have_concepts(text: str) -> None:
    assert extract([text]).phrases
