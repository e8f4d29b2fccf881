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


def test_all_tasks_are_evaluated_and_reported_side_by_side(
    curate: Run, tasks: list[str], tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    where = ("--warehouse", tmp_path / "w", "--original", tiny[0], "--compressed", tiny[1], "--json")
    answer = curate("evaluate", tiny[1], *tasks, *where, "--metric", "token_accuracy")
    assert answer.code == 0, answer.err
    report = answer.value
    assert {(row["task"], row["group"], row["n_items"]) for row in report["summary"]} == {
        ("rows:held", "rows:held", 30), ("choice:choice", "colours", 10), ("choice:choice", "sums", 10),
        ("perplexity:text", "perplexity:text", 8), ("knowledge:facts", "knowledge:facts", 1),
        ("open-book:facts", "open-book:facts", 1),
    }  # fmt: skip
    # The model is the compressed one: evaluated once, changed by nothing.
    assert report["evaluations"]["model"] == report["evaluations"]["compressed"] != report["evaluations"]["original"]
    assert all(row["gain"]["value"] == 0 and not row["harmed"] for row in report["retention"]["groups"])
    assert {row["task"] for row in report["perplexity"]} == {"rows:held", "choice:choice", "perplexity:text"}
    rows = Warehouse(tmp_path / "w").read("evaluation", report["evaluation_id"]).to_pylist()
    choices = [row for row in rows if row["kind"] == "choice"]
    assert {row["chance"] for row in choices} == {1 / 2, 1 / 3}
    sums = [row["score"] for row in choices if row["group"] == "sums"]
    assert next(row["score"] for row in report["summary"] if row["group"] == "sums") == sum(sums) / 10


def test_a_second_run_evaluates_nothing(curate: Run, tasks: list[str], tiny: tuple[Path, Path], tmp_path: Path) -> None:
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


def test_items_of_the_corpus_are_left_out(curate: Run, tiny: tuple[Path, Path], tmp_path: Path, corpus: Path) -> None:
    lines = corpus.read_text().splitlines()
    task = tmp_path / "task.jsonl"
    known = json.loads(lines[0])
    known["instruction"] = known["instruction"].upper() + "  "  # the same question in another spelling
    new = {"instruction": "say hello again", "input": "", "output": "yes"}
    task.write_text(json.dumps(known) + "\n" + json.dumps(new) + "\n")
    fixed = ("evaluate", tiny[0], "--tasks", task, "--corpus", corpus, "--warehouse", tmp_path / "w", "--json")
    answer = curate(*fixed).value
    assert (answer["n_items"], answer["n_contaminated"]) == (1, 1)
    assert "1 items were left out" in answer["warnings"][0]
    assert curate(*fixed, "--no-decontaminate").value["n_items"] == 2
    task.write_text(json.dumps(known) + "\n")
    none = curate(*fixed)
    assert (none.code, "all 1 items of the tasks are in the corpus" in none.err) == (3, True)


@pytest.mark.slow
def test_held_out_rows_are_grouped_by_cluster(curate: Run, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    """Held-out rows that repeat a question of the corpus in another spelling get the cluster of that row."""
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
    answer = curate(*fixed, *how, "--corpus", tmp_path / "pool.jsonl")
    assert answer.code == 0, answer.err
    sizes = [row["n_items"] for row in answer.value["summary"]]
    assert (len(sizes), sum(sizes)) == (2, 60)
    warehouse = Warehouse(tmp_path / "w")
    labels = warehouse.read("clusters", warehouse.list("clusters")[0].id)["cluster"].to_pylist()
    groups = warehouse.read("evaluation", answer.value["evaluation_id"])["group"].to_pylist()
    assert [int(group.partition(":")[0]) for group in groups] == labels
    assert all(", " in group for group in groups)  # the cluster's top terms


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 3, "no model folder 'nowhere'"),
        (["--tasks", "x.jsonl"], 2, "no model to evaluate"),
        (["{tiny}", "--tasks", "facts:x.jsonl"], 2, "'facts' is not a kind of task"),
        (["{tiny}", "--tasks", "gone.jsonl"], 3, "no corpus 'gone.jsonl'"),
        (["{tiny}", "--compressed", "{tiny}"], 2, "nothing to evaluate on"),
        (["{tiny}", "--tasks", "instructions:{rules}"], 3, "rule 'max_word: 2' is unknown, did you mean 'max_words'?"),
        (["{tiny}", "--tasks", "{rules}", "--tasks", "{rules}"], 2, "two tasks are called 'instructions:rules'"),
    ],
)
def test_errors_name_what_to_do(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    rules = tmp_path / "rules.jsonl"
    rules.write_text(json.dumps({"prompt": "say hello", "rules": ["max_word: 2"]}) + "\n")
    words = [word.format(tiny=tiny[0], rules=rules) for word in arguments]
    answer = curate("evaluate", *words, "--warehouse", tmp_path / "w")
    assert answer.code == code
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_a_table_for_people(curate: Run, tasks: list[str], tiny: tuple[Path, Path], tmp_path: Path) -> None:
    where = ("--warehouse", tmp_path / "w", "--metric", "token_accuracy")
    plain = curate("evaluate", tiny[1], *tasks, *where).out
    assert "rows:held" in plain
    assert "95 % interval" in plain
    beside = curate("evaluate", tiny[1], *tasks, *where, "--original", tiny[0]).out
    assert "mean retention of token accuracy" in beside


@pytest.mark.slow
def test_a_killed_evaluation_resumes(tasks: list[str], tiny: tuple[Path, Path], tmp_path: Path) -> None:
    """Kill it before and after every rename; the final content equals that of an uninterrupted run."""

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
def test_lm_eval_tasks_run_with_the_other_tasks(
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
def test_teacher_forcing_agrees_with_greedy_decoding_on_the_demo(curate: Run, tmp_path: Path) -> None:
    """Exact match of one forward pass is exact match of greedy decoding, on every capability of the demo."""
    from curate.flows import demo
    from curate.flows.demo.report import exact_match

    answer = curate("evaluate", "--warehouse", tmp_path / "w", "--json")
    assert answer.code == 0, answer.err
    (folder,) = (tmp_path / "w" / "models").glob("demo-*")
    groups = {row["group"]: row for row in answer.value["retention"]["groups"]}
    for column, model in (("score", folder), ("original", demo.model_path())):
        expected = exact_match(model, 40)
        rows = Warehouse(tmp_path / "w").read(
            "evaluation", answer.value["evaluations"]["model" if column == "score" else "original"]
        )
        for name, (count, share) in expected.items():
            scores = [row["score"] for row in rows.to_pylist() if row["group"] == name][:count]
            assert sum(scores) / count == pytest.approx(share)
    assert not groups["recall"]["counted"]
    assert sum(row["counted"] for row in groups.values()) == 10
    assert answer.value["n_contaminated"] == 0
    assert 0.5 < answer.value["retention"]["mean"]["value"] < 0.7


@pytest.mark.realdata
def test_real_files_are_evaluated_without_conversion(curate: Run, shared: Path, tmp_path: Path) -> None:
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
