"""lm-eval as an engine: our own multiple choice and perplexity agree with it to the last digit, on one model."""

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
    """Return the compressed demo model: it knows some answers and not others."""
    folder = tmp_path_factory.mktemp("models") / "compressed"
    compress(demo.model_path(), folder, CompressionRequest(**demo.COMPRESSION))
    return load_subject(str(folder), device="cpu")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Return held-out questions, each with its right answer among three plausible wrong ones."""
    rng = np.random.default_rng(0)
    found = []
    for row in heldout(per_capability=ROWS // 10)[:ROWS]:
        options = {row.output}
        while len(options) < 3:
            options.add(CAPABILITIES[row.capability].spoil(rng, row.question, row.output))
            options.add(row.output[::-1] + "?")  # some questions have fewer wrong answers than are wanted
        listed = [sorted(options)[i] for i in rng.permutation(len(options))]
        found.append({"question": question_of(row.alpaca()), "choices": listed, "answer": listed.index(row.output)})
    return found


@pytest.fixture
def task(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write the same questions as a local lm-eval task, laid out as the demo's chat template lays them out."""
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


def own(subject: Subject, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    items = [
        {
            "item_id": str(place), "task": "t", "kind": "choice", "group": "t",
            "messages": [{"role": "user", "content": row["question"], "tool_call": False}],
            "references": row["choices"], "answer": row["answer"], "chance": 0.25,
        }
        for place, row in enumerate(rows)
    ]  # fmt: skip
    (found,) = evaluate([pa.RecordBatch.from_pylist(items, schema=ITEMS)], subject, EvaluateConfig())
    return found.to_pylist()  # type: ignore[no-any-return]


def test_multiple_choice_agrees_to_the_last_digit(
    subject: Subject, rows: list[dict[str, Any]], task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    outcome = simple_evaluate(subject, [str(task)])
    ours = own(subject, rows)
    accuracy = sum(row["score"] for row in ours) / len(ours)
    assert outcome["results"]["demo_choice"]["acc,none"] == accuracy
    assert 0.5 < accuracy < 1
    samples = sorted(outcome["samples"]["demo_choice"], key=lambda one: one["doc_id"])
    for row, sample, mine in zip(rows, samples, ours, strict=True):
        assert sample["acc"] == mine["score"]
        # Not only the verdict: the log-likelihood of the right option, up to the order of a float32 sum.
        theirs = -float(sample["filtered_resps"][row["answer"]][0])
        assert mine["nll"] * mine["n_tokens"] == pytest.approx(theirs, rel=1e-4, abs=1e-4)
    again = run_harness(subject, [str(task)]).to_pylist()
    assert [row["score"] for row in again] == [row["score"] for row in ours]
    assert [row["chance"] for row in again] == [1 / len(row["choices"]) for row in rows]
    assert len({row["item_id"] for row in again}) == len(rows)
    assert run_harness(subject, [str(task)], limit=5).num_rows == 5


def test_what_defines_a_local_task_is_digested(task: Path) -> None:
    assert [path.name for path in harness_files(str(task))] == ["demo_choice.yaml", "questions.jsonl"]
    assert harness_files("arc_easy") == []
    with pytest.raises(InputError, match="no lm-eval task file"):
        harness_files("gone.yaml")


def test_a_task_that_lm_eval_does_not_know_is_named(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="knows no task 'no_such_task'"):
        run_harness(subject, ["no_such_task"])
    (tmp_path / "x.yaml").write_text("dataset_path: json\n")
    with pytest.raises(InputError, match="has no line `task: NAME`"):
        run_harness(subject, [str(tmp_path / "x.yaml")])
