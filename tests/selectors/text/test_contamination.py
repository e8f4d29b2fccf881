import random

import numpy as np
from references.duplicates import contamination_loop, grams_loop

from curate.selectors.text.contamination import LEAST_OVERLAP, WORDS, contamination
from curate.selectors.text.shingles import shingles


def test_contamination_agrees_with_the_loop() -> None:
    draw = random.Random(0)
    words = [f"word{i}" for i in range(300)]
    items = [draw.choices(words, k=draw.randint(3, 40)) for _ in range(60)]
    rows = [draw.choices(words, k=draw.randint(3, 60)) for _ in range(200)]
    for row in rows[::3]:
        item = draw.choice(items)
        row[len(row) // 2 :] = item[: draw.randint(len(item) // 3, len(item))]
    corpus = [(" ".join(row[: len(row) // 2]), " ".join(row[len(row) // 2 :])) for row in rows]
    questions = [(" ".join(item),) for item in items]
    result = contamination(shingles(corpus, WORDS), shingles(questions, WORDS))
    grams = [grams_loop(item, WORDS) for item in questions]
    expected = [contamination_loop(grams_loop(row, WORDS), grams, LEAST_OVERLAP) for row in corpus]
    assert [(-1 if one is None else one[0]) for one in expected] == result.item.tolist()
    held = [one[1] for one in expected if one]
    assert len(held) > 10
    np.testing.assert_allclose(result.overlap[result.item >= 0], held)


def test_a_phrase_shared_by_all_questions_is_not_contamination() -> None:
    stem = "which of the following best explains the reason why "
    items = [(stem + " ".join(f"thing{i} part{j}" for j in range(9)),) for i in range(20)]
    corpus = [(stem + "cats purr", "they like it"), (items[7][0], "an answer")]
    result = contamination(shingles(corpus, WORDS), shingles(items, WORDS))
    assert result.item.tolist() == [-1, 7]
    assert result.overlap[1] == 1


def test_no_items_and_no_rows() -> None:
    some, none = shingles([("a b c d e f g h i",)], WORDS), shingles([], WORDS)
    assert contamination(some, none).item.tolist() == [-1]
    assert len(contamination(none, some).item) == 0
