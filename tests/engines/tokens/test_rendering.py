"""Assistant turns that are context only are rendered like the others and not supervised."""

from __future__ import annotations

import numpy as np
import pytest
from byte_tokenizer import byte_tokenizer
from chat_templates import CHATML, LLAMA_2, LLAMA_3

from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn

MARKED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}A:{% generation %}{{ m.content }}</s>{% endgeneration %}"
    "{% else %}Q:{{ m.content }}{% endif %}{% endfor %}"
)


def turns(*supervised: bool) -> list[Turn]:
    answers = ["Uno.", "Dos.", "Tres."]
    pairs = zip(("One?", "Two?", "Three?"), answers, supervised, strict=False)
    return [t for q, a, s in pairs for t in (Turn("user", q), Turn("assistant", a, supervised=s))]


@pytest.mark.parametrize("template", [None, CHATML, LLAMA_2, LLAMA_3, MARKED])
@pytest.mark.parametrize("which", [(False, True), (True, False, True), (False, False, True), (True, False, False)])
def test_the_tokens_of_context_turns_are_those_of_supervised_ones(
    template: str | None, which: tuple[bool, ...]
) -> None:
    tokenizer = byte_tokenizer(template)
    encoded = Template(tokenizer).encode(turns(*which))
    usual = Template(tokenizer).encode(turns(*[True] * len(which)))
    assert np.array_equal(encoded.ids, usual.ids)
    text = str(tokenizer.decode(encoded.ids[encoded.supervised].tolist()))
    assert [answer in text for answer in ("Uno.", "Dos.", "Tres.")[: len(which)]] == list(which)
    assert not (encoded.supervised & ~usual.supervised).any()


def test_turns_that_the_template_joins_are_told_apart_or_refused() -> None:
    """Llama 2 takes turns in alternation only: consecutive answers become one."""
    template = Template(byte_tokenizer(LLAMA_2))
    joined = [Turn("user", "a"), Turn("assistant", "b", supervised=False), Turn("assistant", "c", supervised=False)]
    encoded = template.encode([*joined, Turn("user", "d"), Turn("assistant", "e")])
    text = str(byte_tokenizer(LLAMA_2).decode(encoded.ids[encoded.supervised].tolist()))
    assert "e" in text
    assert "b" not in text
    assert "c" not in text
    mixed = template.encode([*joined, Turn("assistant", "e")])
    assert mixed.error == "turns that are not supervised cannot be told from the others in the rendered text"


@pytest.mark.parametrize("template", [None, CHATML])
def test_the_indentation_of_code_is_supervised(template: str | None) -> None:
    tokenizer = byte_tokenizer(template)
    encoded = Template(tokenizer).encode([Turn("user", "a"), Turn("assistant", "    return a")])
    assert str(tokenizer.decode(encoded.ids[encoded.supervised].tolist())).startswith("    return a")
