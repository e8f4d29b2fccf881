"""Items along paths: all layers answer as an evaluation does, other paths as whole passes that skip layers."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from references.compress import skipping_logits

from curate.engines.diagnose.path_answers import PathReader
from curate.engines.evaluate import EvaluateConfig, Subject, evaluate, load_subject
from curate.engines.models.projections import decoder_layers
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn, message_of
from curate.schemas.errors import InputError
from curate.schemas.evaluation import ITEMS

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = EvaluateConfig(template="plain", max_length=32)
OPTIONS = [["apple", "two and three"], ["yes", "no", "five"], ["red", "say hello"]]
PATHS = [path for size in (1, 2) for path in combinations(range(2), size)]


def item(index: int) -> dict[str, Any]:
    return {
        "item_id": f"{index:016x}", "task": "choice:t", "kind": "choice", "group": "g", "references": OPTIONS[index],
        "messages": [message_of(Turn("user", f"what is {OPTIONS[index][0]}"))], "answer": index % 2, "chance": 0.5,
    }  # fmt: skip


@pytest.fixture(scope="module")
def subject(tiny: tuple[Path, Path]) -> Subject:
    return load_subject(str(tiny[0]), device="cpu", dtype="float32")


def share(subject: Subject, one: dict[str, Any], path: tuple[int, ...]) -> float:
    """Return the share of the right option from whole forward passes that skip the other layers."""
    layers = decoder_layers(subject.model)[1]
    removed = [index for index in range(len(layers)) if index not in path]
    values = []
    for option in one["references"]:
        turns = [Turn("user", one["messages"][0]["content"]), Turn("assistant", option)]
        row = Template(subject.tokenizer, "plain", 32).encode(turns)
        logs = (
            skipping_logits(subject.model, layers, removed, torch.from_numpy(row.ids)[None])[0].double().log_softmax(-1)
        )
        values.append(sum(float(logs[t - 1, row.ids[t]]) for t in np.flatnonzero(row.supervised)))
    likelihoods = np.exp(values)
    return float(likelihoods[one["answer"]] / likelihoods.sum())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("index", range(3))
def test_the_reward_is_that_of_passes_that_skip_layers(subject: Subject, index: int, path: tuple[int, ...]) -> None:
    reward, _ = PathReader(subject, CONFIG).open(item(index)).read(path)
    assert reward == pytest.approx(share(subject, item(index), path), abs=1e-6)


def test_all_layers_answer_as_an_evaluation(subject: Subject) -> None:
    reader = PathReader(subject, CONFIG)
    rows = [item(index) for index in range(3)]
    [results] = evaluate([pa.RecordBatch.from_pylist(rows, schema=ITEMS)], subject, CONFIG)
    assert reader.n_layers == 2
    assert [float(reader.open(one).read((0, 1))[1]) for one in rows] == results.column("score").to_pylist()


def test_an_option_that_does_not_fit_is_an_error(subject: Subject) -> None:
    with pytest.raises(InputError, match="raise --max-length"):
        PathReader(subject, EvaluateConfig(template="plain", max_length=2)).open(item(0))
