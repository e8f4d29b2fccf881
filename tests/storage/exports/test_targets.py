"""Every export is loaded by its consumer's rules (tests/consumers), and by curate's own readers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import warehouses
from consumers import alpaca, axolotl, chat, llama_factory
from fork_server import CONTEXT

from curate.schemas.corpus import EXAMPLES, SOURCES, Example, Turn, example_id, prompt_text, response_text
from curate.schemas.errors import InputError, UsageError, WarehouseError
from curate.schemas.selection import ALLOCATION, LEDGER
from curate.storage.catalog.publish import publish
from curate.storage.exports import TARGETS, export
from curate.storage.formats import read_source
from curate.storage.maintenance.forgotten import forget
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CLOCK = {"name": "clock", "description": "the time", "parameters": {"type": "object", "properties": {}}}


def call(name: str, **arguments: Any) -> str:
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)


CONVERSATIONS: dict[str, tuple[tuple[Turn, ...], str | None]] = {
    "single": ((Turn("user", "Say “hi”\nin two lines."), Turn("assistant", "hi\nthere")), None),
    "multi": (
        (Turn("system", "Be brief."), Turn("user", "1+1?"), Turn("assistant", "2"), Turn("user", "2+2?"),
         Turn("assistant", "4")),
        None,
    ),
    "tool": (
        (Turn("user", "Weather in Köln?"), Turn("assistant", call("weather", city="Köln", days=2), True),
         Turn("tool", '{"sky": "grey"}'), Turn("assistant", "Grey.")),
        json.dumps([WEATHER]),
    ),
    "parallel": (
        (Turn("user", "Both?"), Turn("assistant", f"[{call('weather', city='Bonn')}, {call('clock', zone=1)}]", True),
         Turn("tool", "sun"), Turn("tool", "12:00"), Turn("assistant", "Sun, noon.")),
        json.dumps([WEATHER, CLOCK]),
    ),
    "said-then-called": (
        (Turn("user", "Time?"), Turn("assistant", "Let me look."), Turn("assistant", call("clock"), True),
         Turn("tool", ""), Turn("assistant", "Nobody knows.")),
        json.dumps([CLOCK]),
    ),
    "bare-call": ((Turn("user", "Ping."), Turn("assistant", '{"name": "ping"}', True), Turn("tool", "pong"),
                   Turn("assistant", "It is up.")), json.dumps([CLOCK])),
    "two-users": ((Turn("user", "One."), Turn("user", "Two."), Turn("assistant", "Three.")), None),
    "code-call": ((Turn("user", "Run it."), Turn("assistant", "print(1)", True), Turn("tool", "1"),
                   Turn("assistant", "It printed 1.")), json.dumps([CLOCK])),
}  # fmt: skip
IDS = {name: example_id(turns, tools) for name, (turns, tools) in CONVERSATIONS.items()}


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


@pytest.fixture
def selection(warehouse: Warehouse) -> str:
    """Return a selection that keeps all conversations, ranked in reverse corpus order, and one that is not kept."""
    extra = (Turn("user", "Left out."), Turn("assistant", "Yes."))
    everything = {**CONVERSATIONS, "budget": (extra, None)}
    rows, sources = [], []
    for place, (name, (turns, tools)) in enumerate(everything.items()):
        selection_id = example_id(turns, tools)
        said = [{"role": one.role, "content": one.content, "tool_call": one.tool_call} for one in turns]
        text = {"prompt": prompt_text(turns), "response": response_text(turns), "n_turns": len(turns), "tools": tools}
        rows.append({"example_id": selection_id, "messages": said, **text})
        licence = "CC-BY-4.0" if name == "single" else None if name == "multi" else "MIT"
        sources.append({"example_id": selection_id, "source": "a.jsonl", "row": place + 1, "licence": licence})
    tables = {"part": (rows, EXAMPLES), "sources": (sources, SOURCES)}
    corpus = warehouses.make(warehouse, "corpus", {"0:a.jsonl": "0" * 16}, {}, tables, n_examples=len(rows))
    n = len(CONVERSATIONS)

    def ledger(selection_id: str) -> Any:
        decided = [
            {"selection_id": selection_id, "example_id": row["example_id"], "kept": place < n,
             "reason": "selected" if place < n else "budget", "rank": n - place if place < n else None}
            for place, row in enumerate(rows)
        ]  # fmt: skip
        return {"part": (decided, LEDGER), "allocation": ([], ALLOCATION)}

    settings = {"method": "uniform", "budget": str(n)}
    return warehouses.make(warehouse, "selection", {"corpus": corpus}, settings, ledger, n_kept=n)


def read_again(path: Path, shape: str) -> set[str]:
    rows = [row for row in read_source(path, format=shape) if isinstance(row, Example)]
    return {row.id for row in rows}


def test_sharegpt_and_messages_lose_nothing(warehouse: Warehouse, selection: str, tmp_path: Path) -> None:
    report = export(warehouse, selection, "sharegpt", tmp_path, "all")
    assert report["rows"] == len(CONVERSATIONS)
    assert report["left_out"] == {}
    assert read_again(tmp_path / "all.jsonl", "sharegpt") == set(IDS.values())
    export(warehouse, selection, "messages", tmp_path, "chat")
    # A bare function description is wrapped: the ids of such rows change, the others do not.
    same = {IDS[name] for name in ("single", "multi", "tool", "two-users")}
    assert same <= read_again(tmp_path / "chat.jsonl", "messages")


def test_llama_factory_accepts_every_exported_row(warehouse: Warehouse, selection: str, tmp_path: Path) -> None:
    report = export(warehouse, selection, "llama-factory", tmp_path / "data", "mine")
    loaded = llama_factory.load(tmp_path / "data", "mine", tmp_path / "cache")
    assert report["rows"] == len(loaded) == len(CONVERSATIONS) - 2
    assert report["left_out"] == {
        "a tool call is not JSON of name and arguments": 1,
        "its turns do not alternate between the user or a tool and the model": 1,
    }
    by_first = {row["turns"][0][1]: row for row in loaded}
    assert by_first["1+1?"]["system"] == "Be brief."
    assert [value for _, value in by_first["1+1?"]["turns"]] == ["1+1?", "2", "2+2?", "4"]
    assert by_first["Weather in Köln?"]["turns"][1] == ("function_call", CONVERSATIONS["tool"][0][1].content)
    assert by_first["Weather in Köln?"]["tools"] == CONVERSATIONS["tool"][1]
    assert by_first["Ping."]["turns"][1] == ("function_call", '{"name": "ping", "arguments": {}}')
    assert by_first["Both?"]["turns"][2] == ("observation", "sun\n12:00")
    assert by_first["One.\n\nTwo."]["turns"][1] == ("gpt", "Three.")


def test_dataset_info_is_merged_and_never_overwritten(warehouse: Warehouse, selection: str, tmp_path: Path) -> None:
    register = tmp_path / "dataset_info.json"
    theirs = {"identity": {"file_name": "identity.json"}, "ünïcode": {"hf_hub_url": "x/y", "columns": {"prompt": "q"}}}
    register.write_text(json.dumps(theirs))
    for _ in range(2):  # the second time, our own entry is there already
        export(warehouse, selection, "llama-factory", tmp_path, "mine")
    after = json.loads(register.read_text(encoding="utf-8"))
    assert list(after) == [*theirs, "mine"]
    assert {name: after[name] for name in theirs} == theirs
    register.write_text(json.dumps({"taken": {"hf_hub_url": "x/y"}}))
    with pytest.raises(UsageError, match="another data set as 'taken'"):
        export(warehouse, selection, "llama-factory", tmp_path, "taken")
    assert not (tmp_path / "taken.json").exists()
    register.write_text("{broken")
    with pytest.raises(InputError, match="not valid JSON"):
        export(warehouse, selection, "llama-factory", tmp_path, "mine")
    assert register.read_text() == "{broken"


def test_axolotl_renders_every_row(warehouse: Warehouse, selection: str, tmp_path: Path) -> None:
    odd = tmp_path / "it's a folder"
    report = export(warehouse, selection, "axolotl", odd, "mine")
    rows = axolotl.load(odd / "mine.axolotl.yml", tmp_path / "cache")
    assert report["rows"] == len(rows) == len(CONVERSATIONS) - 1
    assert report["left_out"] == {"a tool call is not JSON of name and arguments": 1}
    for row in rows:
        chat.check(row["messages"], row["tools"])
    (spoken,) = [row for row in rows if row["messages"][0]["content"] == "Time?"]
    assert spoken["messages"][1] == {
        "role": "assistant", "content": "Let me look.",
        "tool_calls": [{"type": "function", "function": {"name": "clock", "arguments": {}}}],
    }  # fmt: skip


def test_trl_renders_every_row(warehouse: Warehouse, selection: str, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason='TRL is not installed; pip install "curate-llm[train]"')
    from datasets import load_dataset
    from models import save_llama
    from transformers import AutoTokenizer

    export(warehouse, selection, "trl", tmp_path, "mine")
    rows = load_dataset("json", data_files=str(tmp_path / "mine.jsonl"), split="train", cache_dir=str(tmp_path / "c"))
    tokenizer = AutoTokenizer.from_pretrained(save_llama(tmp_path / "model"))
    tokenizer.chat_template = chat.TEMPLATE
    assert len(rows) == len(CONVERSATIONS) - 1
    for row in rows:
        row = {key: value for key, value in row.items() if value is not None}
        assert trl.is_conversational(row)
        chat.check(row["messages"], row.get("tools"))
        text = trl.apply_chat_template(row, tokenizer, row.get("tools"))["text"]
        if row["messages"][0]["content"].startswith("Weather"):
            assert '<call>weather {"city": "Köln", "days": 2}</call>' in text
            assert "<|tools|>weather" in text
        assert "None" not in text


def test_alpaca_with_history(warehouse: Warehouse, selection: str, tmp_path: Path) -> None:
    report = export(warehouse, selection, "alpaca", tmp_path, "mine")
    assert set(alpaca.load(tmp_path / "mine.json")) == {
        ("Say “hi”\nin two lines.", "hi\nthere"), ("2+2?", "4"), ("One.\n\nTwo.", "Three."),
    }  # fmt: skip
    assert report["left_out"] == {"alpaca cannot represent tools": 5}
    assert {IDS["single"], IDS["multi"]} <= read_again(tmp_path / "mine.json", "alpaca")
    note = json.loads((tmp_path / "mine.export.json").read_text())
    assert set(note["left_out_ids"]) == {
        IDS[name] for name in ("tool", "parallel", "said-then-called", "code-call", "bare-call")
    }
    # LLaMA-Factory reads the same file as its own alpaca format, with history and system.
    columns = {**llama_factory.COLUMNS, "system": "system", "history": "history"}
    entry = {"mine": {"file_name": "mine.json", "columns": columns}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(entry))
    loaded = llama_factory.load(tmp_path, "mine", tmp_path / "cache")
    assert [value for _, value in loaded[1]["turns"]] == ["1+1?", "2", "2+2?", "4"]
    assert loaded[1]["system"] == "Be brief."


def test_a_data_set_for_load_from_disk(warehouse: Warehouse, selection: str, tmp_path: Path) -> None:
    from datasets import load_from_disk

    export(warehouse, selection, "hf-dataset", tmp_path, "mine")
    rows = load_from_disk(str(tmp_path / "mine"))
    assert rows["example_id"][:] == [selection_id for name, selection_id in IDS.items() if name != "code-call"]
    assert rows["rank"][:] == list(range(len(IDS), 1, -1))
    tool = rows[2]
    assert json.loads(tool["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"city": "Köln", "days": 2}
    assert rows[0]["licences"] == ["CC-BY-4.0"]
    export(warehouse, selection, "hf-dataset", tmp_path, "mine")  # as after a kill before the summary was written
    with pytest.raises(UsageError, match="exists already"):
        export(warehouse, selection, "hf-dataset", tmp_path, "mine", only=set(list(IDS.values())[:1]))
    assert not list(tmp_path.glob(".tmp-*"))


def test_ids_are_listed_best_first(warehouse: Warehouse, selection: str, tmp_path: Path) -> None:
    export(warehouse, selection, "ids", tmp_path, "mine")
    assert (tmp_path / "mine.ids.txt").read_text().split() == list(IDS.values())[::-1]


def test_licences_are_named(warehouse: Warehouse, selection: str, tmp_path: Path) -> None:
    report = export(warehouse, selection, "sharegpt", tmp_path)
    assert report["licences"] == {"CC-BY-4.0": 1, "MIT": 6, "not stated": 1}
    note = json.loads((tmp_path / f"curate_{selection[:8]}.export.json").read_text())
    assert note["licences"] == report["licences"]
    assert note["selection_id"] == selection


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_target_writes_the_same_bytes_twice(
    warehouse: Warehouse, selection: str, tmp_path: Path, target: str
) -> None:
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        export(warehouse, selection, target, folder, "mine")
        files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".yml", ".lock")]
        assert not [path for path in files if path.name.startswith(".tmp-")]
        written.append(
            {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != "state.json"}
        )
    assert written[0] == written[1]


def test_bad_targets_are_one_sentence(warehouse: Warehouse, selection: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="did you mean 'alpaca'"):
        export(warehouse, selection, "alpacca", tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        export(warehouse, selection, "ids", tmp_path / "file")
    with pytest.raises(UsageError, match="not a plain file name"):
        export(warehouse, selection, "ids", tmp_path, "../up")
    with pytest.raises(WarehouseError, match="cannot create the folder"):
        export(warehouse, selection, "ids", tmp_path / "file" / "below")


def test_forgotten_rows_are_left_out_of_older_selections_too(
    warehouse: Warehouse, selection: str, tmp_path: Path
) -> None:
    publish(warehouse)
    forget(warehouse, IDS["multi"])
    report = export(warehouse, selection, "sharegpt", tmp_path, "mine")
    assert report["left_out"] == {"forgotten after the selection": 1}
    assert read_again(tmp_path / "mine.jsonl", "sharegpt") == set(IDS.values()) - {IDS["multi"]}


def test_no_file_is_left_if_no_row_can_be_represented(warehouse: Warehouse, selection: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the 1 kept rows .* cannot represent tools"):
        export(warehouse, selection, "alpaca", tmp_path / "out", "mine", only={IDS["tool"]})
    assert list((tmp_path / "out").iterdir()) == []


def _register(root: str, selection: str, folder: str, name: str) -> None:
    from pathlib import Path

    export(Warehouse(Path(root)), selection, "llama-factory", Path(folder), name)


def test_exports_into_one_folder_at_the_same_time_are_all_registered(
    warehouse: Warehouse, selection: str, tmp_path: Path
) -> None:
    names = [f"set{i}" for i in range(6)]
    tasks = [
        CONTEXT.Process(target=_register, args=(str(warehouse.root), selection, str(tmp_path / "data"), name))
        for name in names
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join(600)
        assert task.exitcode == 0
    assert sorted(json.loads((tmp_path / "data" / "dataset_info.json").read_text())) == names
