"""The files of a tokenizer: every place in which transformers looks for a chat template is one of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from models import save_llama
from transformers import AutoTokenizer

from curate.engines.models.checkpoints import model_files
from curate.engines.models.folder import copy_companions
from curate.engines.models.tokenizer_files import NAMED_TEMPLATES, has_chat_template

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def in_settings(folder: Path) -> None:
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": TEMPLATE}))


def in_a_file(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def in_a_folder(folder: Path) -> None:
    (folder / NAMED_TEMPLATES).mkdir()
    (folder / NAMED_TEMPLATES / "tools.jinja").write_text(TEMPLATE)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_llama(tmp_path / "model")


def test_a_tokenizer_without_a_template_has_none(model: Path) -> None:
    assert not has_chat_template(model_files(str(model)))


@pytest.mark.parametrize("place", [in_settings, in_a_file, in_a_folder])
def test_every_place_of_a_template_is_known_and_read_by_transformers(
    model: Path, place: Callable[[Path], None]
) -> None:
    place(model)
    assert has_chat_template(model_files(str(model)))
    assert AutoTokenizer.from_pretrained(model).chat_template


def test_named_templates_are_copied_with_the_tokenizer(model: Path, tmp_path: Path) -> None:
    in_a_folder(model)
    (tmp_path / "copy").mkdir()
    copy_companions(model, tmp_path / "copy")
    assert (tmp_path / "copy" / NAMED_TEMPLATES / "tools.jinja").read_text() == TEMPLATE
