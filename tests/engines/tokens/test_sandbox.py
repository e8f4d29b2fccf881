"""Templates that loop or grow without end are stopped before they take much time or memory."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from curate.engines.tokens.chat_template import RENDER_ERRORS, ChatTemplate
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError

TURNS = [Turn("user", "a"), Turn("assistant", "b")]


def grown(start: str, step: str, use: str = "") -> str:
    """Return a template that applies `step` to ``ns.x`` a hundred times."""
    return "{% set ns = namespace(x=" + start + ") %}{% for i in range(100) %}" + step + "{% endfor %}" + use


BLOCKS = "".join(
    "{% block bNOW %}{% if NOW < 40 %}{{ self.bNEXT() }}{{ self.bNEXT() }}{% endif %}{% endblock %}".replace(
        "NOW", str(n)
    ).replace("NEXT", str(n + 1))
    for n in range(41)
)
ENDLESS = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops that print": "{% for a in range(99999) %}{% for b in range(99999) %}{{ 1 }}{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "blocks": BLOCKS,
    "filtered loops": (
        "{% macro m() %}{% for a in range(99999) if a < 0 %}{% endfor %}{% endmacro %}"
        "{% for b in range(99999) if m() %}{% endfor %}"
    ),
    "filters of items": "{{ range(99999) | reject('in', range(99999) | list) | list }}",
    "long comparisons": "{% set x = range(99999) | list %}{% for i in range(99999) %}{% if -1 in x %}"
    "{% endif %}{% endfor %}",
}
LARGE = {
    "power": "{{ 9**(9**8) }}",
    "power in steps": grown("9", "{% set ns.x = ns.x * ns.x %}"),
    "sum in steps": "{% set ns = namespace(x=9) %}{% for i in range(9999) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "text doubled": grown("'a'", "{% set ns.x = ns.x + ns.x %}"),
    "text doubled by ~": grown("'a'", "{% set ns.x = ns.x ~ ns.x %}"),
    "block doubled": grown("'a'", "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"),
    "sum of many": "{% set x = 'a' * 900000 %}{% set y = " + " + ".join("x" * 99) + " %}",
    "repetition": "{{ 'a' * 10**10 }}",
    "repeated list": "{% set x = [0] * 10**9 %}",
    "list of lists": grown("['a']", "{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x }}"),
    "tuple of tuples": grown("('a',)", "{% set ns.x = (ns.x, ns.x) %}", "{{ ns.x }}"),
    "dict of dicts": grown("'a'", "{% set ns.x = {'a': ns.x, 'b': ns.x} %}", "{{ ns.x | tojson }}"),
    "arguments": "{% macro m(n) %}{{ m(n-1, varargs, varargs) if n else varargs }}{% endmacro %}{{ m(60) }}",
    "items of a cycler": grown("'a'", "{% set ns.x = cycler(ns.x, ns.x).items %}", "{{ ns.x }}"),
    "escapes": grown("'\"'", "{% set ns.x = ns.x | tojson %}"),
    "printed lists": grown("'\\\\'", "{% set ns.x = [ns.x] | string %}"),
    "output": "{% set x = 'a' * 900000 %}{% for i in range(99999) %}{{ x }}{% endfor %}",
    "center": "{{ 'x' | center(10**9) }}",
    "method": "{{ 'x'.zfill(10**9) }}",
    "named argument": "{{ '\t'.expandtabs(tabsize=10**9) }}",
    "bytes": "{{ (1).to_bytes(10**9, 'big') }}",
    "format": "{{ '%1000000000d' % 1 }}",
    "format method": "{{ '{:1000000000}'.format(1) }}",
    "computed width": "{{ '{:{}}'.format(1, 10**9) }}",
    "many fields": "{{ ('%(a)s' * 9999) % dict(a='x' * 99999) }}",
    "replace": "{% set x = 'a' * 99999 %}{{ x.replace('a', x) }}",
    "replace filter": "{% set x = 'a' * 99999 %}{{ x | replace('a', x) }}",
    "join": "{% set x = 'a' * 99999 %}{{ x.join(range(99999) | map('string')) }}",
    "join filter": "{% set x = 'a' * 99999 %}{{ range(99999) | join(x) }}",
    "translate": "{{ 'aaaa'.translate({97: 'x' * 999}) }}",
    "indent": "{{ ('a\n' * 99999) | indent(9999) }}",
    "batch": "{{ [1] | batch(10**9, 'x') | list }}",
    "precision": "{{ 1.5 | round(10**9, 'ceil') }}",
    "sum of lists": "{{ ([[1] * 9] * 9999) | sum(start=[]) }}",
    "json": "{{ [1] | tojson(indent=10**9) }}",
    "wide json": "{% set x = [[[[1] * 999] * 99]] %}{{ x | tojson(indent=9999) }}",
}  # fmt: skip
REFUSED = {
    "range": "{% for a in range(10**9) %}{% for b in range(10**9) %}{% endfor %}{% endfor %}",
    "recursion": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "block in itself": "{% block a %}{{ self.a() }}{% endblock %}",
    "nested source": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "nested blocks": "{% for a in range(9) %}" * 25 + "{% endfor %}" * 25,
    "long number": "{{ " + "9" * 99999 + " }}",
    "division": "{{ 1 // 0 }}",
    "overflow": "{{ 2.0 ** 10000 }}",
    "random text": "{{ lipsum(10**6) }}",
    "underscores": "{% set ns = namespace(_x=1) %}",
    "date": "{{ strftime_now('%c' * 5000) }}",
}


@pytest.mark.parametrize("source", [*ENDLESS.values(), *LARGE.values()], ids=[*ENDLESS, *LARGE])
def test_a_template_that_does_not_end_or_grows_is_an_error_of_the_model(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(
        InputError, match="^the chat template of model folder 'm' exceeds the limits .*--template plain$"
    ):
        ChatTemplate(source, {}, "model folder 'm'").text(TURNS, None)
    assert time.thread_time() - began < 30


QUICK = ("power in steps", "text doubled", "repetition", "center", "many fields", "replace filter", "join", "wide json")


@pytest.mark.parametrize("source", [LARGE[name] for name in QUICK], ids=QUICK)
def test_nothing_large_is_built_first(source: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            ChatTemplate(source, {}, "model folder 'm'").text(TURNS, None)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED)
def test_what_python_or_jinja_refuse_is_an_error_of_rendering(source: str) -> None:
    with pytest.raises(RENDER_ERRORS):
        ChatTemplate(source, {}, "model folder 'm'").text(TURNS, None)


def test_namespaces_that_hold_each_other_are_printed_in_a_word() -> None:
    source = "{% set l = [namespace(), namespace()] %}{% for n in l %}{% set n.a = l %}{% endfor %}{{ l[0] }}"
    assert ChatTemplate(source, {}, "model folder 'm'").text(TURNS, None) == "<Namespace>"
