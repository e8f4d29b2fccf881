"""Grading of answers: known cases, and ROUGE-L against every subsequence."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import evaluating as slow

from curate.engines.evaluate.grading import is_accepted, last_number, normal_form, rouge_l, words

WORDS = st.lists(st.sampled_from("the an Paris red U.S. it's apple, (two) “old” well-known!".split()), min_size=1)


def test_normal_form() -> None:
    assert normal_form("  The  Red, apple! ") == "red apple"
    assert normal_form("anthem") == "anthem"  # an article inside a word stays
    assert is_accepted("It's “Paris”.", ["its paris", "x"])
    assert not is_accepted("Paris, France", ["Paris"])


@given(WORDS)
def test_normal_form_of_plain_words_is_that_of_squad(words: list[str]) -> None:
    text = " ".join([*words, "end"])
    assert normal_form(text) == slow.squad_normal_form(text.replace("“", '"').replace("”", '"'))


@pytest.mark.parametrize(
    ("answer", "reference"),
    [("Yes.", "yes"), ("**Paris**", "paris"), ("10%", "10"), ("$5", "5"), ("1,200", "1200"), ("−5", "-5"),
     ("–5.", "-5"), ("C ++", "c++"), ('">"', ">"), ("The", "the"), ("3 + 4", "3+4"), ("10 – 15", "10-15"),
     ("½", "1/2"), ("x²", "x^2"), ("＋", "+"), ("1\u202f200", "1200"), ("+5", "5"), ("U.S.", "US")],
)  # fmt: skip
def test_the_same_answer_in_another_spelling_is_accepted(answer: str, reference: str) -> None:
    assert is_accepted(answer, [reference])
    assert is_accepted(reference, [answer])


@pytest.mark.parametrize(
    ("answer", "reference"),
    [("", "A"), ("The", "A"), ("the", "an"), ("5", "-5"), ("5", "−5"), ("<", ">"), ("<", "≤"), ("=", "!="),
     ("C", "C++"), ("C", "C#"), ("A", "A-"), ("A+", "A-"), ("3 5", "3.5"), ("35", "3.5"), ("12", "1/2"),
     ("1015", "10-15"), ("1030", "10:30"), ("23", "2*3"), ("102", "10²"), ("x2", "x^2"), ("vitamin", "vitamin A"),
     ("B, C", "A, B, C"), ("b", "a + b"), ("%", "*"), ("♠", "♥"), ("", "..."), (".", "?"), ("11/2", "1½")],
)  # fmt: skip
def test_another_answer_is_not_accepted(answer: str, reference: str) -> None:
    assert not is_accepted(answer, [reference])
    assert not is_accepted(reference, [answer])


@given(st.text())
def test_no_text_but_white_space_loses_everything(text: str) -> None:
    assert bool(normal_form(text)) == bool(unicodedata.normalize("NFKC", text).strip())
    assert is_accepted(text, [text]) == bool(normal_form(text))


@given(st.integers(-(10**9), 10**9), st.sampled_from([">", "<", "-", "+", "#", "≤", "="]))
def test_a_symbol_is_not_lost_beside_a_number(number: int, symbol: str) -> None:
    assert not is_accepted(f"{abs(number) + 1}", [f"-{abs(number) + 1}"])
    assert not is_accepted("", [symbol])
    assert is_accepted(f" {symbol} ", [symbol])


@pytest.mark.parametrize(
    ("text", "number"),
    [("3 eggs and then 4.50 dollars", "4.5"), ("so 12 #### 1,200.00", "1200"), ("none", None), ("it is -7.", "-7"),
     ("16-3", "3"), ("#### nothing", None), ("2,000,000", "2000000"), ("The answer is 10-15.", "15"), ("10–15", "15"),
     ("$5-$10", "10"), ("x = −5", "-5"), ("16 - -3", "-3"), ("It is 05.", "5"), ("5.0", "5"), ("-0.0", "0"),
     (".50", "0.5"), ("-.5", "-0.5"), ("$1,234.50.", "1234.5"), ("-$5", "-5"), ("$-5", "-5"), ("1,2,3", "3"),
     ("1,00,000", "100000"), ("1'200", "1200"), ("1\u202f200", "1200"), ("１２", "12"), ("1/2", "1/2"),
     ("1.5e3", "1500"), ("on 2024-05-06", "6"), ("5/6/2024", "2024"), ("x5", "5"), ("", None), ("####", None),
     ("1.", "1"), ("12345678901234567890123456789012.10", "12345678901234567890123456789012.1")],
)  # fmt: skip
def test_last_number(text: str, number: str | None) -> None:
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [("1 + 1\n#### 72\n\nQuestion: 3?\nAnswer: 3 + 4 = 7\n#### 7", "72"), ("#### 42 apples in 3 boxes", "42"),
     ("#### $1,050", "1050"), ("####-5", "-5"), ("#### **9** of 10", "9"), ("#### Steps\n3 + 4\n#### 7", "7"),
     ("5 #### The answer is 42", "42")],
)  # fmt: skip
def test_the_first_mark_with_a_number_counts(text: str, number: str) -> None:
    assert last_number(text) == number


@given(st.integers(), st.integers(0, 99), st.integers(0, 3))
def test_a_number_has_one_form_however_it_is_written(number: int, hundredths: int, zeros: int) -> None:
    sign, digits = "-" if number < 0 else "", abs(number)
    expected = f"{number}.{hundredths:02}".rstrip("0").rstrip(".") if hundredths else str(number)
    for integer in (f"{digits}", f"{digits:,}", f"{digits:,}".replace(",", "\u00a0"), "0" * zeros + f"{digits}"):
        for text in (f"{sign}{integer}", f"{sign}${integer}", f"{sign.replace('-', '−')}{integer}"):
            written = f"{text}.{hundredths:02}{'0' * zeros}"
            for whole in (written, f"It is {written}.", f"8 = 8\n#### {written}\n#### 3"):
                assert last_number(whole) == expected


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_rouge_l_agrees_with_trying_every_subsequence(answer: list[str], reference: list[str]) -> None:
    common = slow.longest_common(answer, reference)
    expected = 2 * common / (len(answer) + len(reference)) if answer and reference else 0.0
    assert rouge_l(" ".join(answer), " ".join(reference)) == pytest.approx(expected)


def test_words_are_split_and_lower_cased() -> None:
    assert words("A red-hot Apple") == ["a", "red", "hot", "apple"]
