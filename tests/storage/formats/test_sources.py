"""Folders, datasets and hub addresses as one source: what is read of them, under which names, and their digest."""

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from references.conversations import examples, problems, write_csv, write_dataset, write_jsonl, write_parquet

from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError, UsageError
from curate.storage.formats import read_source, source_name, source_names
from curate.storage.formats import source_digest as digest_of
from curate.storage.formats.containers import hub
from curate.storage.warehouse.part_file import digest_file

A: dict[str, Any] = {"instruction": "a", "output": "b"}
Q: dict[str, Any] = {"question": "c", "answer": "d"}


def source_digest(path: str | Path) -> str:
    return digest_of(path, digest_file)


def test_a_folder_is_read_file_by_file_each_in_its_own_shape(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    (folder / "sub" / ".hidden").mkdir(parents=True)
    write_csv(folder / "b.csv", [Q, Q])
    write_jsonl(folder / "a.jsonl", [A])
    write_parquet(folder / "sub" / "0.parquet", [A, A])
    (folder / "c.JSONL.GZ").write_bytes(gzip.compress(json.dumps(A).encode()))
    (folder / "empty.jsonl").touch()
    (folder / "README.md").write_text("not rows")
    (folder / "dataset_info.json").write_text('{"features": {}}')
    write_jsonl(folder / ".hidden.jsonl", [{"not": "read"}])
    write_jsonl(folder / "sub" / ".hidden" / "x.jsonl", [{"not": "read"}])
    result = examples(list(read_source(folder)))
    assert [(row.source, row.row) for row in result] == [
        ("corpus/a.jsonl", 1),
        ("corpus/b.csv", 1),
        ("corpus/b.csv", 2),
        ("corpus/c.JSONL.GZ", 1),
        ("corpus/sub/0.parquet", 1),
        ("corpus/sub/0.parquet", 2),
    ]


def test_a_file_of_a_folder_that_has_no_known_shape_is_an_error_that_names_it(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [A])
    write_jsonl(tmp_path / "b.jsonl", [{"title": "x"}])
    with pytest.raises(InputError, match=r"b\.jsonl, row 1: the columns are title; known are"):
        list(read_source(tmp_path))


def test_a_folder_without_corpus_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    for use in (lambda: list(read_source(tmp_path)), lambda: source_digest(tmp_path)):
        with pytest.raises(InputError, match="contains no corpus file; supported are json, jsonl, csv"):
            use()


def test_splits_of_a_dataset_folder_are_read_in_its_order_under_their_names(tmp_path: Path) -> None:
    splits = {"train": [A, A], "test": [A]}
    DatasetDict({name: Dataset.from_list(rows) for name, rows in splits.items()}).save_to_disk(str(tmp_path / "d"))
    result = examples(list(read_source(tmp_path / "d")))
    assert [(row.source, row.row) for row in result] == [("d/train", 1), ("d/train", 2), ("d/test", 1)]


def test_a_filtered_and_shuffled_dataset_is_read_in_the_order_it_was_saved(tmp_path: Path) -> None:
    data = Dataset.from_list([{"instruction": str(n), "output": "b"} for n in range(50)])
    chosen = data.shuffle(seed=3).select(range(20))
    chosen.save_to_disk(str(tmp_path / "d"))
    result = examples(list(read_source(tmp_path / "d")))
    assert [row.turns[0] for row in result] == [Turn("user", text) for text in chosen["instruction"]]


def test_nested_nulls_that_arrow_fills_in_do_not_change_an_id(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "g", "arguments": {"y": 2}}}]},
    ]
    rows = [{"messages": turns, "tools": [{"name": "f", "args": {"x": 1}}, {"name": "g", "args": {"y": 1}}]}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    write_parquet(tmp_path / "rows.parquet", rows)
    write_dataset(tmp_path / "dataset", rows)
    ids = {examples(list(read_source(tmp_path / name)))[0].id for name in ("rows.jsonl", "rows.parquet", "dataset")}
    assert len(ids) == 1


def test_a_name_is_the_files_or_folders_without_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert source_name(tmp_path / "a.jsonl") == "a.jsonl"
    assert source_name(f"{tmp_path}/corpus/") == "corpus"
    assert source_name(".") == tmp_path.name
    assert source_name("hub:owner/name@main") == "owner/name@main"


def test_a_file_name_that_is_not_utf8_is_read_and_escaped(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/rows\xff.jsonl"
    Path(os.fsdecode(path)).write_text(json.dumps(A))
    (result,) = examples(list(read_source(os.fsdecode(path))))
    assert result.source == "rows\\udcff.jsonl"


def test_the_digest_is_of_the_content_wherever_it_lies(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", [A])
    (folder / "b.jsonl").touch()
    (folder / "README.md").write_text("one")
    shutil.copytree(folder, tmp_path / "two")
    (tmp_path / "two" / "README.md").write_text("two")
    shutil.copy(folder / "a.jsonl", tmp_path / "c.jsonl")
    assert source_digest(folder) == source_digest(tmp_path / "two")
    assert source_digest(folder / "a.jsonl") == source_digest(tmp_path / "c.jsonl")
    before = source_digest(folder), source_digest(folder / "a.jsonl")
    write_jsonl(folder / "a.jsonl", [A, A])
    assert (source_digest(folder), source_digest(folder / "a.jsonl")) != before
    (folder / "b.jsonl").rename(folder / "c.jsonl")
    assert source_digest(folder) != before[0]


def test_the_digest_of_a_dataset_folder_is_of_all_its_files(tmp_path: Path) -> None:
    write_dataset(tmp_path / "d", [A])
    before = source_digest(tmp_path / "d")
    assert before == source_digest(tmp_path / "d")
    shutil.rmtree(tmp_path / "d")
    write_dataset(tmp_path / "d", [Q])
    assert source_digest(tmp_path / "d") != before


def test_a_hub_address_has_a_name_and_a_revision() -> None:
    assert hub.parse("hub:owner/name@v1") == ("owner/name", "v1")
    assert hub.parse("hub:name") == ("name", "main")
    for address in ("hub:", "hub:@main"):
        with pytest.raises(UsageError, match="does not name a dataset"):
            hub.parse(address)


def test_the_digest_of_a_commit_asks_nobody() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert hub.commit(f"hub:owner/name@{commit}") == commit
    assert source_digest(f"hub:owner/name@{commit}") != source_digest(f"hub:owner/other@{commit}")


def test_a_hub_dataset_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The suite runs with the hub's offline switch: nothing is looked up.
    monkeypatch.chdir(tmp_path)
    for use in (lambda: list(read_source("hub:no/such@main")), lambda: source_digest("hub:no/such@main")):
        with pytest.raises(
            InputError, match="hub:no/such@main cannot be .*check the name, the revision and the net"
        ) as e:
            use()
        assert "\n" not in str(e.value)


def test_what_the_hub_loader_returns_is_read_split_by_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The loader takes a local folder for a name: the same code without the network.
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    write_jsonl(tmp_path / "repository" / "train.jsonl", [A, {"instruction": "a", "output": ""}])
    write_jsonl(tmp_path / "repository" / "test.jsonl", [A])
    result = list(read_source(f"hub:{tmp_path}/repository"))
    assert [(row.source.rsplit("/", 1)[1], row.row) for row in examples(result)] == [("train", 1), ("test", 1)]
    assert [row.row for row in problems(result)] == [2]


def test_sources_of_one_file_name_are_told_apart(tmp_path: Path) -> None:
    here = [tmp_path / place for place in ("one/train.jsonl", "two/train.jsonl", "two/b.jsonl")]
    assert source_names(here[:1]) == ["train.jsonl"]
    assert source_names(here[1:3]) == ["train.jsonl", "b.jsonl"]
    assert source_names(here[:3]) == ["one/train.jsonl", "two/train.jsonl", "b.jsonl"]
    deep = [tmp_path / "x/one/a.csv", tmp_path / "y/one/a.csv", tmp_path / "y/two/a.csv"]
    assert source_names(deep) == ["x/one/a.csv", "y/one/a.csv", "y/two/a.csv"]
    assert source_names([here[0], here[0]]) == ["train.jsonl", "train.jsonl"]
    assert source_names([here[0], here[0], here[1]]) == ["one/train.jsonl", "one/train.jsonl", "two/train.jsonl"]


def test_linked_folders_are_read_and_circles_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write_jsonl(folder / "a.jsonl", [{"prompt": "a", "completion": "b"}])
    write_jsonl(tmp_path / "elsewhere" / "b.jsonl", [{"prompt": "c", "completion": "d"}])
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "circle").symlink_to(folder)
    (tmp_path / "elsewhere" / "up").symlink_to(folder)
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    result = examples(list(read_source(folder)))
    assert [row.source for row in result] == ["folder/a.jsonl", "folder/more/b.jsonl"]
    before = digest_of(folder, digest_file)
    write_jsonl(tmp_path / "elsewhere" / "b.jsonl", [{"prompt": "c", "completion": "e"}])
    assert digest_of(folder, digest_file) != before


def test_an_empty_split_counts_no_rows(tmp_path: Path) -> None:
    full = Dataset.from_dict({"prompt": ["a"], "completion": ["b"]})
    DatasetDict({"train": full, "validation": full.select([])}).save_to_disk(tmp_path / "data")
    result = list(read_source(tmp_path / "data"))
    assert [row.source for row in examples(result)] == ["data/train"]
    full.select([]).save_to_disk(tmp_path / "empty")
    with pytest.raises(InputError, match="is empty"):
        list(read_source(tmp_path / "empty"))
