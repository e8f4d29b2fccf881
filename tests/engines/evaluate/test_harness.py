"""lm-eval as an engine: the multiple choice results of `evaluate` agree with it to the last digit, on one model."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from curate.engines.compress import CompressionRequest, compress
from curate.engines.evaluate import EvaluateConfig, Subject, evaluate
from curate.engines.evaluate.harness import harness_files, run_harness, simple_evaluate
from curate.engines.evaluate.subject import load_subject
from curate.flows import demo
from curate.flows.demo.capabilities import CAPABILITIES
from curate.flows.demo.corpus import heldout
from curate.flows.demo.disk import question_of
from curate.schemas.errors import InputError
from curate.schemas.evaluation import ITEMS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ROWS = 60


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Return the compressed demo model, which answers only some questions correctly."""
    folder = tmp_path_factory.mktemp("models") / "compressed"
    compress(demo.model_path(), folder, CompressionRequest(**demo.COMPRESSION))
    return load_subject(str(folder), device="cpu")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Return held-out questions, each with its correct answer among plausible wrong ones."""
    rng = np.random.default_rng(0)
    questions = []
    for row in heldout(per_capability=ROWS // 10)[:ROWS]:
        options = {row.output}
        while len(options) < 3:
            options.add(CAPABILITIES[row.capability].spoil(rng, row.question, row.output))
            options.add(row.output[::-1] + "?")  # some questions have fewer wrong answers than needed
        choices = [sorted(options)[i] for i in rng.permutation(len(options))]
        questions.append(
            {"question": question_of(row.alpaca()), "choices": choices, "answer": choices.index(row.output)}
        )
    return questions


@pytest.fixture
def task(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write the same questions as a local lm-eval task, in the layout of the demo's chat template."""
    data = tmp_path / "questions.jsonl"
    lines = [{**row, "choices": [f"{option}<|end|>" for option in row["choices"]]} for row in rows]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = tmp_path / "demo_choice.yaml"
    path.write_text(
        textwrap.dedent(f"""\
            task: demo_choice
            dataset_path: json
            dataset_kwargs:
              data_files:
                test: {data}
            output_type: multiple_choice
            test_split: test
            doc_to_text: "<|begin|><|user|>{{{{question}}}}<|end|><|assistant|>"
            doc_to_choice: "{{{{choices}}}}"
            doc_to_target: answer
            target_delimiter: ""
            metric_list:
              - metric: acc
              - metric: acc_norm
            metadata:
              version: 1
            """)
    )
    return path


def own_results(subject: Subject, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    items = [
        {
            "item_id": str(index), "task": "t", "kind": "choice", "group": "t",
            "messages": [{"role": "user", "content": row["question"], "tool_call": False}],
            "references": row["choices"], "answer": row["answer"], "chance": 0.25,
        }
        for index, row in enumerate(rows)
    ]  # fmt: skip
    (results,) = evaluate([pa.RecordBatch.from_pylist(items, schema=ITEMS)], subject, EvaluateConfig())
    return results.to_pylist()  # type: ignore[no-any-return]


def test_multiple_choice_agrees_to_the_last_digit(
    subject: Subject, rows: list[dict[str, Any]], task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    report = simple_evaluate(subject, [str(task)])
    ours = own_results(subject, rows)
    accuracy = sum(row["score"] for row in ours) / len(ours)
    assert report["results"]["demo_choice"]["acc,none"] == accuracy
    assert 0.5 < accuracy < 1
    samples = sorted(report["samples"]["demo_choice"], key=lambda sample: sample["doc_id"])
    for row, sample, result in zip(rows, samples, ours, strict=True):
        assert sample["acc"] == result["score"]
        # Not only the score: the log-likelihood of the correct option, up to the order of a float32 sum.
        expected = -float(sample["filtered_resps"][row["answer"]][0])
        assert result["nll"] * result["n_tokens"] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    again = run_harness(subject, [str(task)]).to_pylist()
    assert [row["score"] for row in again] == [row["score"] for row in ours]
    assert [row["chance"] for row in again] == [1 / len(row["choices"]) for row in rows]
    assert len({row["item_id"] for row in again}) == len(rows)
    assert run_harness(subject, [str(task)], limit=5).num_rows == 5


def test_the_files_of_a_local_task_are_listed(task: Path) -> None:
    assert [path.name for path in harness_files(str(task))] == ["demo_choice.yaml", "questions.jsonl"]
    assert harness_files("arc_easy") == []
    with pytest.raises(InputError, match="no lm-eval task file"):
        harness_files("gone.yaml")


def test_an_unknown_task_is_named(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="knows no task 'no_such_task'"):
        run_harness(subject, ["no_such_task"])
    (tmp_path / "x.yaml").write_text("dataset_path: json\n")
    with pytest.raises(InputError, match="has no line `task: NAME`"):
        run_harness(subject, [str(tmp_path / "x.yaml")])
