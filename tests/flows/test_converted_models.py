"""Models in other formats are converted once, into the warehouse, by every verb that takes a model."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from ggufs import write_gguf
from models import save_llama
from safetensors.torch import load_file

from curate.flows.converted_models import converted, with_converted
from curate.flows.operations.doctor import examine_model
from curate.schemas.errors import InputError
from curate.schemas.settings import Settings
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save_llama(tmp_path / "source")


def as_bin(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(load_file(source / "model.safetensors"), folder / "pytorch_model.bin")
    return folder


def test_other_models_stay_as_they_are(warehouse: Warehouse, source: Path) -> None:
    for name in (None, "owner/name", str(source), str(source / "absent")):
        assert converted(warehouse, name, False) == name
        assert converted(warehouse, name, True) == name


def test_a_state_dict_needs_no_trust_and_is_converted_once(warehouse: Warehouse, source: Path, tmp_path: Path) -> None:
    folder = as_bin(source, tmp_path / "bin")
    made = converted(warehouse, str(folder), False)
    assert made is not None
    assert made.startswith(str(warehouse.root / "models" / "bin-"))
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert converted(warehouse, str(tmp_path / "elsewhere"), True) == made
    assert converted(warehouse, str(folder / "pytorch_model.bin"), False) == made
    with (folder / "config.json").open("a") as file:
        file.write("\n")
    assert converted(warehouse, str(folder), False) != made


def test_a_pickle_with_code_still_needs_trust(warehouse: Warehouse, source: Path, tmp_path: Path) -> None:
    from curate.engines.models.loading import load_model

    folder = as_bin(source, tmp_path / "bin")
    torch.save(load_model(source, torch.device("cpu"), None), folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="add --trust-pickle"):
        converted(warehouse, str(folder), False)
    assert "converted-" in str(converted(warehouse, str(folder), True))


def test_a_gguf_file_is_converted_once(warehouse: Warehouse, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "download"
    folder.mkdir()
    file = write_gguf(source, folder / "model.gguf")
    settings = Settings(original=str(file), compressed=str(folder), warehouse=warehouse.root)
    update = with_converted(warehouse, settings)
    assert update.original == update.compressed
    assert str(update.original).startswith(str(warehouse.root / "models" / "gguf-"))
    assert examine_model(settings, str(file), str(folder))["kinds"] == ["dense"]
    assert len(list((warehouse.root / "models").iterdir())) == 1
