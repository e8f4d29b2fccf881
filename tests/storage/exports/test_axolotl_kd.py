"""The original's log-probabilities in an exported file are the model's, aligned as axolotl's plugin reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import warehouses
import yaml
from chat_templates import PHI_3
from models import save_llama
from transformers import AutoModelForCausalLM, AutoTokenizer

from curate.schemas.errors import InputError
from curate.schemas.targets import TARGETS
from curate.storage.exports.axolotl_kd import SCHEMA, read
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture
def selected(curate: Run, corpus: Path, tmp_path: Path) -> list[Any]:
    """Return the options of a warehouse with a selection that was scored with a pair with a chat template."""
    models = [save_llama(tmp_path / name, seed=seed) for seed, name in enumerate(("original", "compressed"))]
    for folder in models:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.chat_template = PHI_3
        tokenizer.save_pretrained(folder)
    pair = ("--original", models[0], "--compressed", models[1], "-w", tmp_path / "w")
    assert curate("select", "--method", "donod", "-b", "6", "--corpus", corpus, *pair).code == 0
    return ["-w", tmp_path / "w"]


def accept(root: Path, text: str) -> None:
    """Write targets in which every selected row has this answer."""
    warehouse = Warehouse(root)
    selection = warehouse.list("selection")[0].id
    ledger = warehouse.read("selection", selection).to_pylist()
    samples = [
        {"example_id": row["example_id"], "number": 1, "text": text, "n_tokens": 2, "mean_logp": -1.0, "passed": True,
         "score": 1.0, "accepted": True, "stopped_early": False, "contaminated_by": None}
        for row in ledger if row["kept"]
    ]  # fmt: skip
    warehouses.make(warehouse, "targets", {"selection": selection}, {}, {"part": (samples, TARGETS)}, model="gone")


@pytest.mark.parametrize("targets", [(), ("--targets", "latest")])
def test_logprobs_are_those_of_the_original(
    curate: Run, selected: list[Any], tmp_path: Path, targets: tuple[str, ...]
) -> None:
    accept(tmp_path / "w", "red apple")
    kd = ("--to", "axolotl-kd", "--top", "5", "--out", tmp_path, "--name", "kd", *selected)
    answer = curate("export", *kd, *targets, "--json")
    assert answer.code == 0, answer.err
    config = yaml.safe_load((tmp_path / "kd.axolotl.yml").read_text())
    (described,) = config["datasets"]
    assert described["path"] == str(tmp_path / "kd.parquet")
    rows = read(tmp_path / "kd.parquet").to_pylist()
    assert len(rows) == answer.value["rows"] == 6
    exchanged = [row[described["field_messages"]][-1]["content"] == "red apple" for row in rows]
    assert all(exchanged) if targets else not any(exchanged)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "original").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "compressed")
    for row in rows:
        ids = tokenizer.apply_chat_template(row[described["field_messages"]], return_dict=True)["input_ids"]
        assert len(ids) == row["n_tokens"]
        with torch.inference_mode():
            log_p = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        # As the plugin aligns them: list r belongs to the token at place front + r, which the state before predicts.
        front = len(ids) - len(row[described["logprobs_field"]])
        lists = list(zip(row["logprobs"], row["target_token_ids"], row["tail"], strict=True))
        assert lists[0][0]
        for r, (given, names, tail) in enumerate(lists):
            expected = log_p[front + r - 1].topk(5)
            if given:
                assert names == expected.indices.tolist()
                assert given == pytest.approx(expected.values.tolist(), abs=1e-4)
                assert tail == pytest.approx(1 - float(expected.values.exp().sum()), abs=1e-5)


def test_rows_that_are_cut_are_left_out_with_a_reason(curate: Run, selected: list[Any], tmp_path: Path) -> None:
    to = ("--to", "axolotl-kd", "--out", tmp_path / "out", *selected, "--json")
    full = curate("export", *to).value
    (data,) = (name for name in full["files"] if name.endswith(".parquet"))
    lengths = read(data)["n_tokens"].to_pylist()
    cut = curate("export", *to, "--max-length", max(lengths) - 1)
    assert cut.code in (0, 3)
    if cut.code == 0:
        assert cut.value["rows"] == sum(length < max(lengths) for length in lengths)
        assert "longer than --max-length" in next(iter(cut.value["left_out"]))
    assert curate("export", "--to", "trl", "--top", "5", "--out", tmp_path, *selected).code == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tail": [0.9]}, "row 0: the logprobs of token 0 and its tail are no distribution"),
        ({"target_token_ids": [[1]]}, "token 0 has 2 logprobs and 1 target_token_ids"),
        ({"tail": []}, "1 logprobs, 1 target_token_ids and 0 tail of 9 tokens"),
        ({"logprobs": [[float("nan"), -1.0]]}, "no distribution"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    row = {"example_id": "a", "messages": [], "logprobs": [[-0.6931472, -1.3862944]], "n_tokens": 9}
    row |= {"target_token_ids": [[4, 2]], "tail": [0.25]}
    file = tmp_path / "kd.parquet"
    pq.write_table(pa.Table.from_pylist([row], schema=SCHEMA), file)
    assert read(file).num_rows == 1
    pq.write_table(pa.Table.from_pylist([{**row, **changes}], schema=SCHEMA), file)
    with pytest.raises(InputError, match=message):
        read(file)
    file.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="no readable Parquet"):
        read(file)
