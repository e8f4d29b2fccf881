import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.selectors.text import words
from curate.selectors.text.words import MAX_CHARACTERS, STOP_WORDS, normalised, runs


def runs_of(text: str) -> list[list[str]]:
    return list(runs(normalised(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Give three tips for staying healthy.", [["three", "tips"], ["staying", "healthy"]]),
        ("red, green; blue\nsky", [["red"], ["green"], ["blue"], ["sky"]]),
        ("It doesn't rain, it’s snowing", [["rain"], ["snowing"]]),
        ("a state-of-the-art model", [["state-of-the-art", "model"]]),
        ("def getUserName(user_id): return 42", [["def", "getusername"], ["user_id"], ["return"]]),
        ("ＦＵＬＬ　ｗｉｄｔｈ", [["full", "width"]]),
        ("STRASSE Straße", [["strasse", "strasse"]]),
        ("", []),
        ("… 12 3.4 !? \x00", []),
        ("\ud800 broken\x00text", [["broken"], ["text"]]),
    ],
)
def test_runs(text: str, expected: list[list[str]]) -> None:
    assert runs_of(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("German", "Schreibe ein Gedicht über das Meer", [["schreibe"], ["gedicht"], ["meer"]]),
        ("French", "la capitale de la France", [["capitale"], ["france"]]),
        ("Spanish", "los números primos", [["números", "primos"]]),
        ("Russian", "столица и реки России", [["столица"], ["реки", "россии"]]),
        ("Hindi", "हिन्दी भाषा में कविता", [["हिन्दी", "भाषा"], ["कविता"]]),
        ("Arabic", "قصيدة عن البحر", [["قصيدة"], ["البحر"]]),
        ("Persian", "کتاب می‌خوانم", [["کتاب", "می\u200cخوانم"]]),
        ("Korean", "한국어 문장", [["한국어", "문장"]]),
        ("Japanese", "データを分析する", [["データ"], ["分析"]]),
        ("Chinese", "机器学习的模型", [["机器"], ["器学"], ["学习"], ["模型"]]),
        ("Thai", "ทะเล", [["ทะ"], ["ะเ"], ["เล"]]),
    ],
)
def test_languages(language: str, text: str, expected: list[list[str]]) -> None:
    assert runs_of(text) == [[normalised(word) for word in run] for run in expected], language


def test_marks_stay_with_their_letters() -> None:
    assert runs_of("กี่ปี") == [["กี่ปี"]]


@given(st.text(alphabet=st.characters(codec=None), max_size=200))
def test_any_string_has_words_without_blanks_or_stop_words(text: str) -> None:
    for run in runs(normalised(text)):
        assert run
        for word in run:
            assert word == word.strip()
            assert word not in STOP_WORDS


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=100))
def test_the_ascii_path_agrees_with_the_general_one(text: str) -> None:
    plain = [word for run in runs(normalised(text)) for word in run]
    general = [m[0] for m in words._token().finditer(normalised(text)) if m.lastgroup == "word"]
    assert plain == [word for word in general if len(word) > 1 and word not in STOP_WORDS and re.search("[a-z]", word)]


@pytest.mark.parametrize("unit", ["ab ", "a'", "a-", "漢", "กี่", "é ", "\n", "_"])
def test_long_texts_are_truncated(unit: str) -> None:
    start = time.process_time()
    result = runs_of(unit * (1_000_000 // len(unit)))
    assert time.process_time() - start < 2
    assert sum(len(word) for run in result for word in run) <= 4 * MAX_CHARACTERS
