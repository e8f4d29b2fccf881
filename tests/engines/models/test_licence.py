"""Licences as model cards state them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

from curate.engines.models.licence import model_licence

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("head", "licence"),
    [
        ("license: apache-2.0\nlanguage: en", "apache-2.0"),
        ("tags: [x]\nlicense: 'mit' # as before", "mit"),
        ("license: other\nlicense_name: gemma\nlicense_link: LICENSE", "gemma"),
        ("license: other", "other"),
        ("license:\n- mit\n- cc-by-4.0\nlanguage: en", "mit, cc-by-4.0"),
        ("license: [mit]", "mit"),
        ("license:\nlanguage: en", None),
        ("license_name: gemma", None),
        ("language: en", None),
    ],
)
def test_the_head_of_the_card_states_the_licence(tmp_path: Path, head: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_text(f"---\n{head}\n---\n# Model\nlicense: gpl\n")
    assert model_licence(str(tmp_path)) == licence


def test_a_card_without_a_head_or_no_card_states_none(tmp_path: Path) -> None:
    assert model_licence(str(tmp_path)) is None
    (tmp_path / "README.md").write_text("# Model\nlicense: mit\n")
    assert model_licence(str(tmp_path)) is None


def test_an_adapter_has_the_licence_of_its_base(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
    (base / "README.md").write_text("---\nlicense: mit\n---\n")
    save_file({"x": np.zeros(1)}, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    assert model_licence(str(adapter)) == "mit"
    (adapter / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    assert model_licence(str(adapter)) == "cc0-1.0"
