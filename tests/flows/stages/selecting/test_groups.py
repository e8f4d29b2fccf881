"""A budget is divided among the files of a corpus, or among the values of a column of the user's naming."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from models import WORDS

from curate.flows.stages.selecting.groups import UNNAMED, read_groups
from curate.schemas.corpus import SOURCES
from curate.schemas.errors import UsageError
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run


def write(path: Path, n: int, subjects: list[Any]) -> Path:
    rows = [
        {
            "instruction": f"{path.stem} {i} {WORDS[i % 7]}",
            "output": WORDS[i % 5],
            "subject": subjects[i % len(subjects)],
        }
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def select(curate: Run, tiny: tuple[Path, Path], tmp_path: Path) -> Run:
    first = write(tmp_path / "large.jsonl", 30, ["maths", 3, None])
    second = write(tmp_path / "small.jsonl", 6, ["law"])
    fixed = ["-c", first, "-c", second, "--map", "group=subject", "--original", tiny[0], "--compressed", tiny[1]]
    how = [
        "--method",
        "paser",
        "--consistency",
        "off",
        "--rank",
        "random",
        "--budget",
        "12",
        "-w",
        tmp_path / "w",
        "--json",
    ]
    return lambda *words: curate("select", *fixed, *how, *words)


def test_ledger_explain_and_report_name_the_group(select: Run, curate: Run, tmp_path: Path) -> None:
    summary = select("--groups", "source", "--allocation", "proportional").value
    assert sorted(summary["inputs"]) == ["corpus", "tokens"]
    kept = {row["group"]: (row["size"], row["kept"], row["terms"]) for row in summary["clusters"]}
    assert kept == {"large.jsonl": (30, 10, ["large.jsonl"]), "small.jsonl": (6, 2, ["small.jsonl"])}
    sql = 'SELECT "group", count(*) AS n FROM ledger WHERE kept GROUP BY ALL ORDER BY ALL'
    where = ("-w", tmp_path / "w", "--json")
    assert [list(row.values()) for row in curate("sql", sql, *where).value] == [["large.jsonl", 10], ["small.jsonl", 2]]
    row = curate("sql", 'SELECT example_id, "group" FROM ledger LIMIT 1', *where).value[0]
    found = curate("explain", row["example_id"], *where).value["selections"][0]
    assert (found["group"], found["cluster"]) == (row["group"], None)
    page = tmp_path / "report.html"
    assert curate("report", "-w", tmp_path / "w", "--out", page).code == 0
    assert "small.jsonl" in page.read_text()
    # No model scored these rows, so that no damage is known.
    assert "Groups</h2>" in page.read_text()
    assert "Degradation" not in page.read_text()


def test_a_column_of_the_users_naming_with_the_tempered_allocation(select: Run) -> None:
    summary = select("--groups", "column", "--allocation", "tempered").value
    groups = {row["group"]: row for row in summary["clusters"]}
    assert {name: row["size"] for name, row in groups.items()} == {"maths": 10, "3": 10, UNNAMED: 10, "law": 6}
    assert sum(row["budget"] for row in groups.values()) == 12
    assert groups["law"]["kept"] >= 1
    assert (
        summary["selection_id"]
        != select("--groups", "column", "--allocation", "tempered", "--gamma", "1").value["selection_id"]
    )


def test_ids_of_selections_without_the_new_settings_do_not_change(select: Run, tmp_path: Path) -> None:
    summary = select("--groups", "source", "--allocation", "proportional").value
    settings = Warehouse(tmp_path / "w").manifest("selection", summary["selection_id"]).settings["options"]
    assert settings["groups"] == "source"
    assert "gamma" not in settings


def test_a_row_of_two_files_belongs_to_the_first(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    with warehouse.build("corpus", "c", 1, {}, {}, {}) as builder:
        rows = [("b", "z", 1), ("a", "y", 2), ("b", "x", 3)]
        names = [{"example_id": i, "source": s, "row": n, "licence": None, "group": None} for i, s, n in rows]
        builder.write("sources", 0, pa.Table.from_pylist(names, SOURCES), SOURCES)
        builder.finish({})
    ids = pa.chunked_array([["a", "b"]])
    groups = read_groups(warehouse, "c", ids, "source")
    assert (groups.names, groups.of.tolist()) == (("y", "z"), [0, 1])
    with pytest.raises(UsageError, match=r"no row of corpus c has a group; name the column .* --map group=subject"):
        read_groups(warehouse, "c", ids, "column")


def test_groups_beside_clusters_are_drawn_and_printed(curate: Run, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    """With the concept graph the selection has clusters too: the map has their discs and the groups' colours."""
    files = [write(tmp_path / f"{name}.jsonl", 24, ["maths"]) for name in ("first", "second")]
    fixed = ("-c", files[0], "-c", files[1], "--original", tiny[0], "--compressed", tiny[1], "-w", tmp_path / "w")
    answer = curate("select", "--method", "paser", *fixed, "--groups", "source", "--budget", "8")
    assert answer.code == 0, answer.err
    assert [word in answer.out for word in ("group", "first.jsonl", "second.jsonl", "top terms")] == [True] * 3 + [
        False
    ]
    assert list((tmp_path / "w" / "pictures").glob("*.png"))
    page = tmp_path / "report.html"
    assert curate("report", "-w", tmp_path / "w", "--out", page).code == 0
    text = page.read_text()
    assert "in 2 groups; the table of groups below" in " ".join(text.split())
    rows = Warehouse(tmp_path / "w").read("selection", Warehouse(tmp_path / "w").find("selection", "latest").id)
    assert rows["group"].null_count == rows["cluster"].null_count == 0
