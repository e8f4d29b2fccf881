"""What `--sparsity` may be depends on the method; what does not fit is refused before any model is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.flows.operations.compress import compress
from curate.schemas.errors import UsageError
from curate.schemas.settings import Settings


@pytest.mark.parametrize(
    ("method", "sparsity", "message"),
    [
        ("blocks", "0.5", "'0.5' is not a number of layers"),
        ("heads", "0.5", "'0.5' is not a number of groups; --method heads removes whole groups"),
        ("heads", "2:4", "'2:4' is not a number of groups"),
        ("heads", "0", "number of groups 0 is not positive"),
        ("wanda", "half", "'half' is neither a share such as 0.5 nor a pattern"),
    ],
)
def test_amounts_that_do_not_fit_the_method_are_refused(method: str, sparsity: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compress(Settings(), "no model", Path("out"), method, sparsity, 8)


def test_a_path_and_a_number_of_layers_are_refused_together() -> None:
    settings = Settings.model_validate({"compress": {"path": "0-2,4"}})
    with pytest.raises(UsageError, match="--path '0-2,4' and --sparsity '2' both say which layers go"):
        compress(settings, "no model", Path("out"), "blocks", "2", 8)


def test_blocks_without_an_amount_ask_for_one() -> None:
    with pytest.raises(UsageError, match="'0.5' is not a number of layers; --method blocks removes whole layers"):
        compress(Settings(), "no model", Path("out"), "blocks", None, 8)
