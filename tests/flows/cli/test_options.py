"""Options of the command line are made from the settings that they fill."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from curate.flows.cli.main import load_commands
from curate.flows.cli.method_options import METHOD_OPTIONS
from curate.flows.cli.option import Option
from curate.flows.cli.options import GROUPS
from curate.flows.cli.reference_page import verbs
from curate.flows.cli.typed import column_map, comma_separated
from curate.schemas.errors import UsageError
from curate.selectors.registry import SELECTORS

ALL = [option for group in GROUPS.values() for option in group]


@pytest.mark.parametrize(
    ("path", "kind", "spellings"),
    [
        ("score.max_length", int, ("--max-length",)),
        ("score.workers", int, ("--workers",)),
        ("warehouse", Path, ("--warehouse", "-w")),
        ("corpus", list[str], ("--corpus", "-c")),
        ("ingest.map", list[str], ("--map",)),
        ("recover.parts", str, ("--parts",)),
        ("recover.merge", bool, ("--no-merge",)),
        ("score.template", str, ("--template",)),
        ("cluster.n_clusters", int, ("--clusters",)),
        ("lock_timeout", float, ("--lock-timeout",)),
    ],
)
def test_type_and_flags(path: str, kind: Any, spellings: tuple[str, ...]) -> None:
    option = Option(path)
    assert (option.type, option.spellings) == (kind, spellings)


@pytest.mark.parametrize("option", ALL, ids=lambda option: option.path)
def test_every_option_says_what_it_does(option: Option) -> None:
    text = option.describe()
    assert len(text) > 10
    assert text.count("[") <= text.count("; ") + 1, "a default stands once"


def test_the_help_of_an_option_names_only_flags_of_its_verb() -> None:
    for name, verb in verbs(get_command(load_commands()), ""):
        flags = {flag for one in verb.params for flag in (*one.opts, *one.secondary_opts)}
        for one in verb.params:
            named = set(re.findall(r"(?<![\w-])--[a-z-]+", getattr(one, "help", None) or ""))
            assert named <= flags, f"curate {name}: the help of {one.name} names {named - flags}"


def test_every_setting_of_every_method_has_an_option() -> None:
    options = {option.path.rpartition(".")[2]: option for option in METHOD_OPTIONS}
    settings = {item.name: item for entry in SELECTORS.values() for item in fields(entry.settings)}
    assert options.keys() == settings.keys()
    for name, item in settings.items():
        assert options[name].type is type(item.default), name


def test_typed_lists() -> None:
    assert comma_separated(" a, b,,a ") == ("a", "b")
    assert column_map(["response=answer"]) == {"response": "answer"}
    for pairs in (["response"], ["=a"], ["a=b", "a=c"]):
        with pytest.raises(UsageError, match="role=column"):
            column_map(pairs)


def test_help_shows_the_methods_texts(curate: Any) -> None:
    shown = " ".join(curate("select", "--help").out.split())
    assert "--filter-share" in shown
    assert "[0.1]" in shown
    assert "paser" in shown
