"""Every file of a model that a stage opens is part of the id of what the stage writes.

`opened_files` records the files that are opened, by this project or a library; each of them is then changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import opened_files
import pytest
from corpora import write_corpus
from models import save_llama

from curate.engines.models.checkpoints import generation_files, model_files
from curate.flows.stages import comparison_cell, evaluation, scores
from curate.schemas.recovery import RecoveryRequest
from curate.schemas.settings import Settings
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., Any]

GENERATION = "generation_config.json"
NOT_USED = {f"{model}/{GENERATION}" for model in ("original", "judge")}
"""transformers reads these together with the weights, and nothing is generated with them."""


def dress(folder: Path) -> Path:
    """Give a model every small file that transformers looks for in a folder."""
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m['role'] }} {{ m['content'] }}{{ eos_token }}{% endfor %}"
    )
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tools.jinja").write_text("{{ messages }}")
    (folder / "special_tokens_map.json").write_text('{"eos_token": "</s>"}')
    (folder / "added_tokens.json").write_text("{}")
    return folder


def shard(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="4KB")
    assert len(list(folder.glob("*.safetensors"))) > 1


def save_adapter(folder: Path, base: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(base)
    settings = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, base_model_name_or_path=str(base))
    adapted = get_peft_model(network, settings)
    adapted.save_pretrained(str(folder))
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(base)}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models").resolve()
    for seed, name in enumerate(("original", "compressed", "judge", "base")):
        dress(save_llama(folder / name, seed=seed))
    shard(folder / "original")
    (folder / "compressed" / "gguf.json").write_text('{"types": {"F32": 1}}')
    save_adapter(folder / "adapter", folder / "base")
    write_corpus(folder / "corpus.jsonl", rows=8)
    facts = [{"question": f"name a fruit {'again ' * i}", "answer": "apple"} for i in range(2)]
    (folder / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in facts))
    return folder


@pytest.fixture(scope="module")
def opened(folder: Path) -> dict[str, list[str]]:
    """Return stage → files that it opened, relative to the folder."""
    script = Path(opened_files.__file__)
    done = subprocess.run([sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.fixture
def ids(folder: Path, opened: dict[str, list[str]]) -> Callable[[], dict[str, str]]:
    warehouse, settings = Warehouse(folder / "warehouse"), opened_files.settings_of(folder)

    def compute() -> dict[str, str]:
        (corpus,), (selection,) = opened["corpus"], opened["selection"]
        return {
            "score": scores.recipe(warehouse, settings, corpus).id,
            "cell": comparison_cell.recipe(warehouse, settings, selection, opened_files.REQUEST).id,
            "evaluate": evaluation.recipe(warehouse, settings, str(folder / "adapter"), None, {}).id,
        }

    return compute


def changed(path: Path) -> Iterator[None]:
    """Change one byte of a file that no reader cares about, and restore it."""
    before = path.read_bytes()
    # Another byte in a weight, another white space at the end of a text: sizes and headers stay right.
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]) if path.suffix == ".safetensors" else before + b"\n")
    yield
    path.write_bytes(before)


@pytest.mark.slow
def test_the_record_shows_files_of_every_model(opened: dict[str, list[str]]) -> None:
    files = {name: set(found) for name, found in opened.items()}
    assert {"config.json", "tokenizer.json", GENERATION} <= {Path(one).name for one in files["score"]}
    assert {one.split("/")[0] for one in files["score"]} == {"original", "compressed"}
    assert {one.split("/")[0] for one in files["cell"]} == {"original", "compressed", "judge"}
    assert {one.split("/")[0] for one in files["evaluate"]} == {"adapter", "base", "judge"}
    assert sum(one.startswith("original/model-") for one in files["cell"]) > 1
    assert {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"} <= files["evaluate"]
    assert {"compressed/gguf.json", "compressed/additional_chat_templates/tools.jinja"} <= files["cell"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["score", "cell", "evaluate"])
def test_changing_any_opened_file_changes_the_id(
    folder: Path, opened: dict[str, list[str]], ids: Callable[[], dict[str, str]], stage: str
) -> None:
    before = ids()
    exempt = NOT_USED | ({f"compressed/{GENERATION}"} if stage == "score" else set())
    missed = []
    for name in opened[stage]:
        for _ in changed(folder / name):
            missed += [name] if ids()[stage] == before[stage] else []
    assert set(missed) == exempt & set(opened[stage])
    assert ids() == before


@pytest.mark.slow
def test_an_original_that_is_not_used_is_no_input_of_a_cell(folder: Path, opened: dict[str, list[str]]) -> None:
    warehouse, settings = Warehouse(folder / "warehouse"), opened_files.settings_of(folder)
    (selection,) = opened["selection"]

    def inputs(**training: Any) -> set[str]:
        return set(comparison_cell.recipe(warehouse, settings, selection, RecoveryRequest(**training)).inputs)

    assert "original" not in inputs()
    assert "original" in inputs(teacher_weight=0.5)
    assert "original" in inputs(reconstruct=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        (folder / "compressed" / name).rename(folder / name)
    try:
        assert "original" in inputs()
    finally:
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
            (folder / name).rename(folder / "compressed" / name)


def test_generation_settings_are_part_of_what_is_generated_only(tmp_path: Path) -> None:
    model = save_llama(tmp_path / "model")
    (model / GENERATION).unlink()
    assert generation_files(str(model)) == model_files(str(model))
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"question": "name a fruit", "answer": "apple"}) + "\n")
    warehouse = Warehouse(tmp_path / "w")

    def evaluation_id(kind: str) -> str:
        settings = Settings(evaluate={"tasks": (f"{kind}:{rows}",)})
        return evaluation.recipe(warehouse, settings, str(model), None, {}).id

    before = {kind: evaluation_id(kind) for kind in ("rows", "knowledge", "reasoning")}
    (model / GENERATION).write_text(json.dumps({"eos_token_id": 7}))
    assert {kind for kind, one in before.items() if evaluation_id(kind) != one} == {"knowledge", "reasoning"}


def test_another_end_token_is_another_answer(curate: Run, tmp_path: Path) -> None:
    model = save_llama(tmp_path / "model")
    facts = tmp_path / "facts.jsonl"
    facts.write_text(json.dumps({"question": "name a fruit", "answer": "apple"}) + "\n")
    warehouse = Warehouse(tmp_path / "w")

    def answer() -> tuple[str, str]:
        result = curate("evaluate", model, "--tasks", f"knowledge:{facts}", "-w", tmp_path / "w", "--json")
        assert result.code == 0, result.err
        (row,) = warehouse.read("evaluation", result.value["evaluation_id"]).to_pylist()
        return result.value["evaluation_id"], row["said"]

    first, said = answer()
    words = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    (model / GENERATION).write_text(json.dumps({"eos_token_id": words[said.split()[0]]}))
    os.utime(model / GENERATION, ns=(1, 1))
    second, stopped = answer()
    assert first != second
    assert stopped == ""
    shutil.rmtree(tmp_path / "w")
    assert answer() == (second, "")
