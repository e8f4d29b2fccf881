"""A chat template renders what transformers renders, with a frozen date and wrapped tools."""

from __future__ import annotations

import json
import pickle

import pytest
from chat_templates import CHAT_FORMATS, CHATML
from transformers.utils.chat_template_utils import render_jinja_template

from curate.engines.tokens.chat_template import ChatTemplate, tool_list
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError

TURNS = [Turn("user", "One <b>&?"), Turn("assistant", "Uno.\n\n")]
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
SCHEMA = {"name": "add", "parameters": {"type": "object", "properties": {"é": {"type": "integer"}}}}


def render(source: str) -> str:
    return ChatTemplate(source, SPECIAL, "model folder 'm'").text(TURNS, [SCHEMA])


FILTERED = (
    "{{ messages | map(attribute='content') | join('-') }}"
    " {{ messages | selectattr('role', 'equalto', 'user') | list }}"
    "{{ tools | tojson }}{{ tools | tojson(indent=2) }}{{ tools | tojson(separators=(',', ':'), sort_keys=true) }}"
    "{{ 'a b'.split() }}{{ 'x' * 3 ~ 'y' + 'z' }}{{ '%s:%04d' | format('a', 7) }}{{ '{:>4}|{}'.format(1, 'b') }}"
    "{{ ['a', 'b'] | map('upper') | join }}{{ ', '.join(tools | map(attribute='name')) }}{{ none | select | list }}"
    "{{ 'a,b' | replace(',', ';') }}{{ 'a\nb' | indent(2) }}{{ '5' | int + 2 ** 5 }}{{ 7 % 4 }}{{ 'a-%s' % 'b' }}"
    "{{ {'a': 1} | items | list }}{{ dict(a=1) }}{{ 1.25 | round(1) }}{{ [3, 1] | sort }}{{ (1, 2) }}"
    "{{ [1, 1] | unique | list }}"
    "{% macro m(x) %}<{{ x }}{{ varargs }}{{ kwargs }}>{% endmacro %}{{ m(1, 2, a=[3]) }}{% set ns = namespace(n=0) %}"
    "{% for i in range(9) if i % 2 %}{% if i > 5 %}{% break %}{% endif %}{% set ns.n = ns.n + i %}"
    "{{ loop.last }}{% endfor %}"
    "{{ ns.n }}{% for c in [1, [2]] recursive %}{{ loop(c) if c is iterable else c }}{% endfor %}{{ 'a' | center(5) }}"
    "{% set t %}a{{ 1 }}{% endset %}{{ t }}{% filter upper %}b{% endfilter %}"
    "{{ messages[::-1][0].content | trim | length }}"
    "{% set a, b = 1, 2 %}{{ a + b }}{{ 'a' + 'b' + 'c' + 'd' }}{% call m(1) %}x{% endcall %}"
    "{{ {'k': messages[0].role} }}"
)


@pytest.mark.parametrize(
    "source",
    [FILTERED, *(layout.template for layout in CHAT_FORMATS.values() if "strftime_now" not in layout.template)],
)
def test_the_text_is_that_of_transformers(source: str) -> None:
    expected, _ = render_jinja_template(
        conversations=[[{"role": turn.role, "content": turn.content} for turn in TURNS]],
        tools=[SCHEMA], chat_template=source, **SPECIAL,
    )  # fmt: skip
    assert render(source) == expected[0]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("%d %b %Y", "01 Jan 2025"),
        ("%B %d, %Y", "January 01, 2025"),
        ("%Y-%m-%d", "2025-01-01"),
        ("%A %H:%M", "Wednesday 00:00"),
    ],
)
def test_the_date_is_frozen_in_the_format_of_the_template(form: str, expected: str) -> None:
    assert render("{{ strftime_now('" + form + "') }}") == expected
    assert render("{% if strftime_now is defined %}{{ strftime_now('%Y') | int + 1 }}{% endif %}") == "2026"


@pytest.mark.parametrize("bare", [SCHEMA, {"type": "function", **SCHEMA}])
def test_bare_tools_are_wrapped(bare: dict[str, object]) -> None:
    wrapped = {"type": "function", "function": SCHEMA}
    assert tool_list(json.dumps([bare, wrapped])) == [wrapped, wrapped]


@pytest.mark.parametrize("other", [{"type": "code_interpreter"}, {"type": "web", "name": "search"}, {"name": 5}, {}])
def test_other_tools_are_left_as_they_are(other: dict[str, object]) -> None:
    assert tool_list(json.dumps([other])) == [other]


@pytest.mark.parametrize("tools", [None, "", "{", "5", "[5]", '{"name": "add"}'])
def test_what_is_no_list_of_objects_is_no_tools(tools: str | None) -> None:
    assert tool_list(tools) is None


def test_a_long_conversation_is_within_the_limits() -> None:
    template = ChatTemplate(CHATML, SPECIAL, "model folder 'm'")
    many = [Turn("user", "word " * 100), Turn("assistant", "word " * 100)] * 5_000
    assert len(template.text(many, None)) > 5_000_000
    long = [Turn("user", "word " * 2_000_000), Turn("assistant", "yes")]
    assert len(template.text(long, None)) > 10_000_000


def test_a_very_long_template_is_refused() -> None:
    with pytest.raises(InputError, match="model folder 'm' exceeds the limits .*400,000 are allowed"):
        render("{# " + "x" * 400_000 + " #}")


def test_a_template_travels_to_another_process() -> None:
    template = ChatTemplate(CHATML, SPECIAL, "model folder 'm'")
    assert pickle.loads(pickle.dumps(template)).text(TURNS, None) == template.text(TURNS, None)
