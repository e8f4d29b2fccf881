"""docs/inputs.md says what the readers do: every sample in it is read as the shape under whose heading it stands."""

import re
from pathlib import Path

import pytest
from documents import ROOT
from references.conversations import examples

from curate.storage.formats import SHAPES, read_source
from curate.storage.formats.shapes.roles import ROLES

TEXT = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"^### (\S+)$(.*?)^```json\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_shapes_are_documented_in_their_order_of_preference() -> None:
    assert [name for name, _, _ in SAMPLES] == [shape.name for shape in SHAPES]


@pytest.mark.parametrize(("name", "sample"), [(name, sample) for name, _, sample in SAMPLES])
def test_each_sample_is_read_without_a_flag_and_as_its_shape(name: str, sample: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.jsonl"
    path.write_text(sample)
    (detected,) = examples(list(read_source(path)))
    (stated,) = examples(list(read_source(path, format=name)))
    assert detected.id == stated.id


def test_every_role_is_documented() -> None:
    assert [role for role in ROLES if f"`{role}`" not in TEXT] == []
