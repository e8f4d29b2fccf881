"""``curate evaluate`` through the command line, on tiny models and, where marked slow, on the demo."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import attempts
import pytest
from corpora import write_corpus

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

REAL_FILES = ("gsm8k_test.parquet", "boolq_test.parquet", "mmlu_val.parquet", "wikitext2_valid.txt")
QUESTIONS = [
    {"question": "what is red", "choices": ["apple", "two"], "answer": 0, "group": "colours"},
    {"question": "what is the sum", "choices": ["say", "five", "no"], "answer": "five", "group": "sums"},
]


@pytest.fixture
def tasks(tmp_path: Path) -> list[str]:
    rows = write_corpus(tmp_path / "held.jsonl", rows=30, seed=7)
    choice = tmp_path / "choice.jsonl"
    choice.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS * 10))
    (tmp_path / "text.txt").write_text("name a fruit\nhello again\n" * 200)
    facts = tmp_path / "facts.jsonl"
    facts.write_text(json.dumps({"question": "name a fruit", "answer": "apple", "context": "red apple"}) + "\n")
    files = (rows, choice, tmp_path / "text.txt")
    words = [str(path) for path in files] + [f"knowledge:{facts}", f"open-book:{facts}"]
    return [part for word in words for part in ("--tasks", word)]


def test_everything_is_asked_and_put_side_by_side(
    curate: Run, tasks: list[str], tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    where = ("--warehouse", tmp_path / "w", "--original", tiny[0], "--compressed", tiny[1], "--json")
    told = curate("evaluate", tiny[1], *tasks, *where, "--metric", "token_accuracy")
    assert told.code == 0, told.err
    found = told.value
    assert {(row["task"], row["group"], row["n_items"]) for row in found["summary"]} == {
        ("rows:held", "rows:held", 30), ("choice:choice", "colours", 10), ("choice:choice", "sums", 10),
        ("perplexity:text", "perplexity:text", 3), ("knowledge:facts", "knowledge:facts", 1),
        ("open-book:facts", "open-book:facts", 1),
    }  # fmt: skip
    # The model is the compressed one: evaluated once, changed by nothing.
    assert found["evaluations"]["model"] == found["evaluations"]["compressed"] != found["evaluations"]["original"]
    assert all(row["gain"]["value"] == 0 and not row["harmed"] for row in found["retention"]["groups"])
    assert {row["task"] for row in found["perplexity"]} == {"rows:held", "choice:choice", "perplexity:text"}
    rows = Warehouse(tmp_path / "w").read("evaluation", found["evaluation_id"]).to_pylist()
    choices = [row for row in rows if row["kind"] == "choice"]
    assert {row["chance"] for row in choices} == {1 / 2, 1 / 3}
    sums = [row["score"] for row in choices if row["group"] == "sums"]
    assert next(row["score"] for row in found["summary"] if row["group"] == "sums") == sum(sums) / 10


def test_a_second_time_asks_nothing(curate: Run, tasks: list[str], tiny: tuple[Path, Path], tmp_path: Path) -> None:
    where = ("--warehouse", tmp_path / "w", "--json")
    first = curate("evaluate", tiny[0], *tasks, *where)
    before = attempts.parts(tmp_path / "w")
    again = curate("evaluate", tiny[0], *tasks, *where)
    assert again.value == first.value
    assert attempts.parts(tmp_path / "w") == before
    assert "retention" not in first.value
    other = curate("evaluate", tiny[1], *tasks, *where)
    assert other.value["evaluation_id"] != first.value["evaluation_id"]
    catalog = curate("sql", "SELECT model, n_items FROM evaluations ORDER BY created", *where).value
    assert [row["model"] for row in catalog] == [str(tiny[0]), str(tiny[1])]


def test_what_stands_in_the_corpus_is_not_asked(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path, corpus: Path
) -> None:
    lines = corpus.read_text().splitlines()
    asked = tmp_path / "asked.jsonl"
    known = json.loads(lines[0])
    known["instruction"] = known["instruction"].upper() + "  "  # the same question, typed otherwise
    new = {"instruction": "say hello again", "input": "", "output": "yes"}
    asked.write_text(json.dumps(known) + "\n" + json.dumps(new) + "\n")
    fixed = ("evaluate", tiny[0], "--tasks", asked, "--corpus", corpus, "--warehouse", tmp_path / "w", "--json")
    told = curate(*fixed).value
    assert (told["n_items"], told["n_contaminated"]) == (1, 1)
    assert "1 items were left out" in told["warnings"][0]
    assert curate(*fixed, "--no-decontaminate").value["n_items"] == 2


@pytest.mark.slow
def test_held_out_rows_under_the_clusters_of_a_corpus(curate: Run, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    """Rows that ask what the corpus asks, typed otherwise, stand under the cluster of their twin."""
    fruit, sums = (
        ("name a red fruit please", "which fruit do you like"),
        ("add two and three", "what is the sum of five"),
    )
    lines = [{"instruction": f"{text} {i}", "output": "yes"} for i in range(15) for text in (*fruit, *sums)]
    for name, change in (("pool", str), ("held", str.upper)):
        rows = [row | {"instruction": change(row["instruction"])} for row in lines]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fixed = ("evaluate", tiny[0], "--tasks", tmp_path / "held.jsonl", "--warehouse", tmp_path / "w", "--json")
    how = ("--by", "cluster", "--clusters", "2", "--no-decontaminate")
    refused = curate(*fixed, *how)
    assert (refused.code, "pass --corpus" in refused.err) == (2, True)
    told = curate(*fixed, *how, "--corpus", tmp_path / "pool.jsonl")
    assert told.code == 0, told.err
    sizes = [row["n_items"] for row in told.value["summary"]]
    assert (len(sizes), sum(sizes)) == (2, 60)
    warehouse = Warehouse(tmp_path / "w")
    labels = warehouse.read("clusters", warehouse.list("clusters")[0].id)["cluster"].to_pylist()
    groups = warehouse.read("evaluation", told.value["evaluation_id"])["group"].to_pylist()
    assert [int(group.partition(":")[0]) for group in groups] == labels
    assert all(", " in group for group in groups)  # the cluster's telling terms


@pytest.mark.slow
def test_the_latest_recovery_is_asked_beside_its_own_pair(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path, corpus: Path
) -> None:
    where = ("--warehouse", tmp_path / "w", "--json")
    pair = ("--original", tiny[0], "--compressed", tiny[1])
    chosen = curate("select", "--method", "donod", "--budget", "0.5", "--corpus", corpus, *pair, *where).value
    made = curate("recover", "--epochs", "1", "--learning-rate", "1e-3", *where)
    assert made.code == 0, made.err
    held = write_corpus(tmp_path / "held.jsonl", rows=20, seed=7)
    told = curate("evaluate", "--tasks", held, *where, "--metric", "token_accuracy")
    assert told.code == 0, told.err
    assert set(told.value["evaluations"]) == {"model", "original", "compressed"}
    (row,) = curate(
        "sql", "SELECT recovery_id, selection_id, model FROM evaluations WHERE recovery_id IS NOT NULL", *where
    ).value
    assert row["selection_id"] == chosen["selection_id"]
    assert row["model"] == told.value["model"]
    assert curate("evaluate", row["recovery_id"][:6], "--tasks", held, *where, "--metric", "token_accuracy").value == (
        told.value
    )
    unknown = curate("evaluate", "0123abcd", "--tasks", held, *where)
    assert (unknown.code, "begins with '0123abcd'" in unknown.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 3, "no model folder 'nowhere'"),
        (["--tasks", "x.jsonl"], 2, "no model to evaluate"),
        (["{tiny}", "--tasks", "facts:x.jsonl"], 2, "'facts' is no kind of task"),
        (["{tiny}", "--tasks", "gone.jsonl"], 3, "no corpus 'gone.jsonl'"),
        (["{tiny}", "--compressed", "{tiny}"], 2, "nothing to ask"),
        (["{tiny}", "--tasks", "instructions:{rules}"], 3, "rule 'max_word: 2' is unknown, did you mean 'max_words'?"),
        (["{tiny}", "--tasks", "{rules}", "--tasks", "{rules}"], 2, "two tasks are called 'instructions:rules'"),
    ],
)
def test_errors_name_what_to_do(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    rules = tmp_path / "rules.jsonl"
    rules.write_text(json.dumps({"prompt": "say hello", "rules": ["max_word: 2"]}) + "\n")
    words = [word.format(tiny=tiny[0], rules=rules) for word in arguments]
    answer = curate("evaluate", *words, "--warehouse", tmp_path / "w")
    assert answer.code == code
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_a_table_for_people(curate: Run, tasks: list[str], tiny: tuple[Path, Path], tmp_path: Path) -> None:
    where = ("--warehouse", tmp_path / "w", "--metric", "token_accuracy")
    plain = curate("evaluate", tiny[1], *tasks, *where).out
    assert "rows:held" in plain
    assert "95 % interval" in plain
    beside = curate("evaluate", tiny[1], *tasks, *where, "--original", tiny[0]).out
    assert "mean retention of token accuracy" in beside


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_where_it_was(tasks: list[str], tiny: tuple[Path, Path], tmp_path: Path) -> None:
    """Kill it before and after every rename; what is there in the end is what an uninterrupted run gives."""

    def arguments(warehouse: Path) -> list[str]:
        fixed = ["evaluate", str(tiny[0]), *tasks, "--part-items", "20", "--threads", "1"]
        return [*fixed, "--warehouse", str(warehouse)]

    assert attempts.run(arguments(tmp_path / "whole")) == 0
    survived, killed = tmp_path / "survived", 0
    while attempts.run(arguments(tmp_path / "broken"), attempts.Kill(survived)) != 0:
        killed += 1
        assert killed < 60
    assert killed >= 8

    def content(warehouse: Path) -> dict[str, bytes]:
        return {name: data for name, (_, data) in attempts.parts(warehouse).items()}

    assert content(tmp_path / "broken") == content(tmp_path / "whole")


@pytest.mark.slow
def test_a_task_of_lm_eval_is_asked_beside_the_others(
    curate: Run, tasks: list[str], tiny: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    folder = tmp_path / "harness"
    folder.mkdir()
    (folder / "choice.jsonl").write_text((tmp_path / "choice.jsonl").read_text().replace('"five"}', "1}"))
    lines = [
        "task: colours_and_sums", "dataset_path: json", "dataset_kwargs:", "  data_files:",
        f"    test: {folder / 'choice.jsonl'}", "output_type: multiple_choice", "test_split: test",
        'doc_to_text: "{{question}}"', 'doc_to_choice: "{{choices}}"', "doc_to_target: answer",
        "metric_list:", "  - metric: acc",
    ]  # fmt: skip
    (folder / "choice.yaml").write_text("\n".join(lines) + "\n")
    where = ("--warehouse", tmp_path / "w", "--json")
    both = curate("evaluate", tiny[0], *tasks, "--tasks", f"lm-eval:{folder / 'choice.yaml'}", *where)
    assert both.code == 0, both.err
    rows = {row["task"]: row for row in both.value["summary"]}
    assert rows["lm-eval:colours_and_sums"]["n_items"] == 20
    assert 0 <= rows["lm-eval:colours_and_sums"]["score"] <= 1
    alone = curate("evaluate", tiny[0], "--tasks", f"lm-eval:{folder / 'choice.yaml'}", *where)
    assert alone.value["summary"] == [rows["lm-eval:colours_and_sums"]]
    # The data beside the YAML file is part of the task: other data, another evaluation.
    (folder / "choice.jsonl").write_text((folder / "choice.jsonl").read_text() * 2)
    other = curate("evaluate", tiny[0], "--tasks", f"lm-eval:{folder / 'choice.yaml'}", *where)
    assert other.value["evaluation_id"] != alone.value["evaluation_id"]
    assert other.value["n_items"] == 40


@pytest.mark.slow
def test_the_demo_agrees_with_asking_it_by_generating(curate: Run, tmp_path: Path) -> None:
    """Exact match of one forward pass is exact match of greedy decoding, on every capability of the demo."""
    from curate.flows import demo
    from curate.flows.demo.report import exact_match

    told = curate("evaluate", "--warehouse", tmp_path / "w", "--json")
    assert told.code == 0, told.err
    (folder,) = (tmp_path / "w" / "models").glob("demo-*")
    groups = {row["group"]: row for row in told.value["retention"]["groups"]}
    for column, model in (("score", folder), ("original", demo.model_path())):
        asked = exact_match(model, 40)
        rows = Warehouse(tmp_path / "w").read(
            "evaluation", told.value["evaluations"]["model" if column == "score" else "original"]
        )
        for name, (count, share) in asked.items():
            mine = [row["score"] for row in rows.to_pylist() if row["group"] == name][:count]
            assert sum(mine) / count == pytest.approx(share)
    assert not groups["recall"]["counted"]
    assert sum(row["counted"] for row in groups.values()) == 10
    assert told.value["n_contaminated"] == 0
    assert 0.5 < told.value["retention"]["mean"]["value"] < 0.7


@pytest.mark.realdata
def test_real_files_are_asked_as_they_come(curate: Run, shared: Path, tmp_path: Path) -> None:
    tasks = [word for name in REAL_FILES for word in ("--tasks", shared / "corpora" / name)]
    model = shared / "models" / "stories260K"
    answer = curate("evaluate", model, *tasks, "--limit", "8", "--warehouse", tmp_path / "w", "--json")
    assert answer.code == 0, answer.err
    rows = answer.value["summary"]
    assert {row["kind"] for row in rows if row["task"] == "choice:mmlu_val"} == {"choice"}
    assert all(row["chance"] == 0.25 for row in rows if row["kind"] == "choice")
    assert sum(row["n_items"] for row in rows) == 8 * len(REAL_FILES)
    assert {row["task"] for row in rows} == {
        "rows:gsm8k_test", "rows:boolq_test", "choice:mmlu_val", "perplexity:wikitext2_valid",
    }  # fmt: skip
    # Worse than the 512 equally likely tokens would be a broken reading of the text; it was trained on stories.
    texts = next(row for row in rows if row["kind"] == "perplexity")
    assert 2 < texts["nll"] < math.log(512)
