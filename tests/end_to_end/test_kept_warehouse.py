"""A warehouse of version 0.1 stays readable, and the same commands still mean the same.

tests/data/warehouse_0_1.tar.gz is a folder as version 0.1.0 left it: `corpus.jsonl` (`corpora.write_corpus` with a
duplicate, a near-duplicate and an unusable row added), held-out tasks, a signal to import, a pair of tiny models and
the warehouse. `original` is `models.save_llama` trained on the corpus by `curate.engines.recover.recover`; `compressed`
is `curate compress {here}/original -m magnitude -s 0.5`. The commands of warehouse_0_1.json under "made" were then run
in their order with {here} = the folder. Left out of the archive: pictures, locks and the cache of file digests.
The JSON files beside it hold the output of version 0.1.0: ids, keys of answers, columns of the catalog, answers to SQL,
flags and exit codes. A newer version may add to them and may not take away.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., Any]

DATA = Path(__file__).parents[1] / "data"
KEPT = json.loads((DATA / "warehouse_0_1.json").read_text())
COMMAND_LINE = json.loads((DATA / "command_line.json").read_text())
NEW_DEFAULTS = {
    **dict.fromkeys([("compress", "--method"), ("compress", "-m")], "wanda"),
    **dict.fromkeys([("compress", "--sparsity"), ("compress", "-s")]),
}
"""Magnitude pruning at the default share ruins real models. A share that is not given is still a half, but not beside
``--path``."""
PLAIN = {"recover": ["--teacher", "none"]}
"""What now says in words what these verbs did in 0.1: a recovery whose original is known learns from it by default."""
OTHERWISE = ("uniform", "longest")
"""Methods that since draw in an order that a growing corpus keeps, and that count tokens without scores."""
FOUND = [
    one
    for one in KEPT["made"]
    if "pilots" not in one["ids"].get("inputs", {}) and not set(OTHERWISE) & set(one["command"])
]
"""What the same commands lead to. Pilots train at the default rate of a recovery, which has changed (decision 25)."""
REMADE = {
    name
    for one in KEPT["made"]
    if one not in FOUND
    for name in (one["ids"]["selection_id"], one["ids"]["inputs"].get("pilots"))
    if name is not None
}
COLUMNS = (
    "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'main' "
    "ORDER BY 1, ordinal_position"
)


@pytest.fixture
def kept(curate: Run, tmp_path: Path) -> Run:
    """Unpack the folder, and return a function that runs a command in which it is called {here}."""
    with tarfile.open(DATA / "warehouse_0_1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")

    def run(words: list[str]) -> Any:
        return curate(*[word.replace("{here}", str(tmp_path / "kept")) for word in words])

    assert run(["catalog", "rebuild", "--warehouse", "{here}/warehouse"]).code == 0
    return run


def answer(kept: Run, command: list[str]) -> Any:
    result = kept([*command, "--warehouse", "{here}/warehouse", "--json"])
    assert result.code == 0, result.err
    return result.value


def keys(value: Any) -> Any:
    """Return the keys of a JSON value, nested as they are; of a list, those of its first item."""
    if isinstance(value, list):
        return [keys(value[0])] if value else None
    return {key: keys(inner) for key, inner in value.items()} if isinstance(value, dict) else None


def missing(old: Any, new: Any, place: str = "answer") -> Iterator[str]:
    """Yield the places of old keys that the new ones lack."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from (f"{place}.{key}" for key in old.keys() - new.keys())
        for key in old.keys() & new.keys():
            yield from missing(old[key], new[key], f"{place}.{key}")
    elif isinstance(old, list) and isinstance(new, list):
        yield from missing(old[0], new[0], f"{place}[]")
    elif old is not None:
        yield place


def parts(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the time and the bytes of every file of every artefact and of every recovered model."""
    files = [path for path in folder.glob("warehouse/*/*/*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def ids(kept: Run, created: dict[str, Any]) -> dict[str, Any]:
    """Run a command again and return the ids that it gives back."""
    result = answer(kept, [*created["command"], *PLAIN.get(created["command"][0], [])])
    assert not list(missing(created["keys"], keys(result))), created["command"]
    return {name: result[name] for name in created["ids"]}


def test_catalog_has_the_same_columns(kept: Run) -> None:
    result = [list(row.values()) for row in answer(kept, ["sql", COLUMNS])]
    old = [[table, *column] for table, columns in KEPT["columns"].items() for column in columns]
    assert [column for column in result if column in old] == old


def test_queries_have_the_same_results(kept: Run) -> None:
    for query in KEPT["queries"]:
        # Columns may be added, and `SELECT *` has them.
        rows = [{name: row[name] for name in query["rows"][0]} for row in answer(kept, query["command"])]
        assert rows == [
            {name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value for name, value in row.items()}
            for row in query["rows"]
        ], query["about"]


def test_commands_that_only_ask_can_read_it(kept: Run, tmp_path: Path) -> None:
    before = parts(tmp_path / "kept")
    for query in KEPT["asked"]:
        assert not list(missing(query["keys"], keys(answer(kept, query["command"])))), query["command"]
    assert parts(tmp_path / "kept") == before


def test_status_and_doctor_find_every_artefact_whole(kept: Run) -> None:
    assert [[one["noun"], one["id"]] for one in answer(kept, ["status"])["artefacts"]] == KEPT["artefacts"]
    assert answer(kept, ["doctor"])["problems"] == []


def test_the_same_commands_find_their_artefacts_made(kept: Run, tmp_path: Path) -> None:
    before = parts(tmp_path / "kept")
    assert [ids(kept, created) for created in FOUND] == [created["ids"] for created in FOUND]
    assert parts(tmp_path / "kept") == before


@pytest.mark.slow
def test_the_same_commands_make_the_same_artefacts_anew(kept: Run, tmp_path: Path) -> None:
    """Leaves out what depends on the last bits of a trained model, which are not those of another processor.

    Clusters of 0.1 are kept where a warehouse holds them, as after an upgrade; a fit of today has another id.
    """
    (tmp_path / "kept" / "warehouse").rename(tmp_path / "made by 0.1")
    shutil.copytree(tmp_path / "made by 0.1" / "clusters", tmp_path / "kept" / "warehouse" / "clusters")
    for created in FOUND:
        assert not created["anew"] or ids(kept, created) == created["ids"], created["command"]
    for query in KEPT["queries"]:
        if query["anew"] and not any(name in word for name in REMADE for word in query["command"]):
            rows = [{name: row[name] for name in query["rows"][0]} for row in answer(kept, query["command"])]
            expected = [row for row in query["rows"] if not REMADE & {str(one) for one in row.values()}]
            assert rows == expected, query["about"]


def flags(command: Any) -> dict[str, dict[str, Any]]:
    """Return type, need and default of each flag, and of each argument by its place, of a Typer command."""
    result: dict[str, dict[str, Any]] = {}
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    for one in command.params:
        (kind,) = get_args(one.type_descriptor.annotation) or (one.type_descriptor.annotation,)
        default = None if one.default is None else str(one.default)
        entry = {"type": kind.__name__, "required": one.required, "repeatable": one.multiple or one.nargs != 1}
        place = [f"argument {arguments.index(one) + 1}"] if one in arguments else []
        result |= dict.fromkeys(place or [*one.opts, *one.secondary_opts], {**entry, "default": default})
    return result


def verbs(command: Any, name: str = "") -> dict[str, dict[str, dict[str, Any]]]:
    """Return the flags of every command of a Typer group, by the words that one types to call it."""
    inner = getattr(command, "commands", None)
    result = {} if inner else {name: flags(command)}
    for word, one in (inner or {}).items():
        result |= verbs(one, f"{name} {word}".strip())
    return result


def test_every_verb_has_its_flags() -> None:
    import typer

    from curate.flows.cli.main import load_commands

    result = verbs(typer.main.get_command(load_commands()))
    for verb, old in COMMAND_LINE["verbs"].items():
        assert {flag: result[verb].get(flag) for flag in old} == {
            flag: one | {"default": NEW_DEFAULTS.get((verb, flag), one["default"])} for flag, one in old.items()
        }, verb
        assert not [flag for flag, one in result[verb].items() if one["required"] and flag not in old], verb


def test_every_exit_code_means_what_it_meant(kept: Run) -> None:
    for tried in COMMAND_LINE["exit_codes"]:
        assert kept(tried["command"]).code == tried["code"], tried["about"]
