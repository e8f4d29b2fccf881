"""``.bin`` files of tensors become model folders, without running code; anything else in them is named."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch
from models import save_model
from safetensors.torch import load_file

from curate.engines.models.checkpoints import _pickle_message
from curate.engines.models.loading import load_model, load_pair
from curate.engines.models.pickles import convert
from curate.engines.models.state_dicts import CodeNeededError, convert_state_dict, find_state_dict, read_state_dict
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CPU = torch.device("cpu")
IDS = torch.arange(6).unsqueeze(0)


def save_bin(source: Path, folder: Path, shards: int = 1, **how: Any) -> Path:
    """Save the model in `source` with ``.bin`` weights, as transformers 4 wrote them."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    # The tied head is in the file too, with the storage of the embeddings.
    state = load_model(source, CPU, None).state_dict()
    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin", **how)
        return folder
    names = list(state)
    weight_map: dict[str, str] = {}
    for number in range(shards):
        file = f"pytorch_model-{number + 1:05d}-of-{shards:05d}.bin"
        part = {name: state[name] for name in names[number::shards]}
        weight_map |= dict.fromkeys(part, file)
        torch.save(part, folder / file, **how)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save_model(tmp_path / "source", "untied")


@pytest.mark.parametrize("kind", ["untied", "tied", "bias"])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("zipped", [True, False])
def test_the_folder_reproduces_the_model(tmp_path: Path, kind: str, shards: int, zipped: bool) -> None:
    source = save_model(tmp_path / "source", kind)
    folder = save_bin(source, tmp_path / "bin", shards, _use_new_zipfile_serialization=zipped)
    files = find_state_dict(folder)
    assert len(files) == shards
    convert_state_dict(files, tmp_path / "out")
    loaded = load_pair(str(source), str(tmp_path / "out"), device="cpu")
    assert loaded.original is not None
    with torch.no_grad():
        assert torch.equal(loaded.compressed.model(input_ids=IDS).logits, loaded.original.model(input_ids=IDS).logits)
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()
    assert not list((tmp_path / "out").glob("*.bin*"))


def test_dtypes_are_kept(source: Path, tmp_path: Path) -> None:
    folder = save_bin(source, tmp_path / "bin")
    state = {name: tensor.bfloat16() for name, tensor in torch.load(folder / "pytorch_model.bin").items()}
    torch.save(state, folder / "pytorch_model.bin")
    convert_state_dict(find_state_dict(folder), tmp_path / "out")
    assert {tensor.dtype for tensor in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.bfloat16}


def test_where_weights_are_found(source: Path, tmp_path: Path) -> None:
    folder = save_bin(source, tmp_path / "bin")
    assert find_state_dict(folder) == find_state_dict(folder / "pytorch_model.bin") == [folder / "pytorch_model.bin"]
    assert find_state_dict(folder / "config.json") == []
    assert find_state_dict(source) == []
    (folder / "config.json").unlink()
    assert find_state_dict(folder) == []


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_code_is_never_run(source: Path, tmp_path: Path) -> None:
    folder = save_bin(source, tmp_path / "bin")
    state = torch.load(folder / "pytorch_model.bin")
    torch.save({**state, "evil": Evil(tmp_path / "mark")}, folder / "pytorch_model.bin")
    with pytest.raises(CodeNeededError, match="opening it can run any code; add --trust-pickle"):
        convert_state_dict(find_state_dict(folder), tmp_path / "out")
    assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [0, 1, 2, 100, -1, -2000])
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_named(source: Path, tmp_path: Path, kept: int, zipped: bool) -> None:
    folder = save_bin(source, tmp_path / "bin", _use_new_zipfile_serialization=zipped)
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"pytorch_model.bin' .*") as caught:
        convert_state_dict(find_state_dict(folder), tmp_path / "out")
    assert not isinstance(caught.value, CodeNeededError)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [[1], {}, {"state_dict": {"a": torch.ones(1)}}, {1: torch.ones(1)}, torch.ones(1)])
def test_other_content_is_named(source: Path, tmp_path: Path, content: Any) -> None:
    folder = save_bin(source, tmp_path / "bin")
    torch.save(content, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model.bin' holds .*; save the model with save_pretrained"):
        convert_state_dict(find_state_dict(folder), tmp_path / "out")


@pytest.mark.parametrize("weight_map", [[], {}, {"a": "gone.bin"}, {"a": "../pytorch_model.bin"}])
def test_damaged_indices_are_named(source: Path, tmp_path: Path, weight_map: Any) -> None:
    folder = save_bin(source, tmp_path / "bin", 2)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(InputError, match="index"):
        find_state_dict(folder)


def zip_again(file: Path, compression: int, padding: int = 0) -> None:
    """Write the records of a torch file again with another compression, and a record of zeros beside them."""
    with zipfile.ZipFile(file) as archive:
        records = [(one.filename, archive.read(one)) for one in archive.infolist()]
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in records:
            archive.writestr(name, content)
        if padding:
            with archive.open(f"{records[0][0].partition(chr(47))[0]}/data/zeros", "w", force_zip64=True) as record:
                for _ in range(padding // 2**20):
                    record.write(bytes(2**20))


def test_compressed_records_are_not_taken_for_weights(tmp_path: Path, source: Path) -> None:
    file = save_bin(source, tmp_path / "bin") / "pytorch_model.bin"
    zip_again(file, zipfile.ZIP_DEFLATED)
    try:
        read = read_state_dict(file)
    except InputError:
        return
    stored = load_model(source, CPU, None).state_dict()
    assert all(torch.equal(read[name], tensor) for name, tensor in stored.items())


@pytest.mark.parametrize("reader", [read_state_dict, _pickle_message, lambda file: convert(file, file.parent / "out")])
def test_an_archive_that_inflates_to_far_more_is_measured_before_it_is_read(
    tmp_path: Path, source: Path, reader: Callable[[Path], object]
) -> None:
    file = save_bin(source, tmp_path / "bin") / "pytorch_model.bin"
    zip_again(file, zipfile.ZIP_DEFLATED, padding=2**27)
    with pytest.raises(InputError, match=r"MB would inflate to 13\d MB"):
        reader(file)
