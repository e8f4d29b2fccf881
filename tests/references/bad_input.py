"""Rows to damage, and what is read of a file that cannot be used."""

from pathlib import Path
from typing import Any

import pytest

from curate.schemas.corpus import Example, Quarantined
from curate.schemas.errors import InputError
from curate.storage.formats import read_source


def alpaca(number: int, **more: Any) -> dict[str, Any]:
    return {"instruction": f"say {number}", "input": "", "output": f"{number}"} | more


def rows_and_error(path: Path, **options: Any) -> tuple[list[Example | Quarantined], str]:
    """What is read before the InputError, and its sentence."""
    result: list[Example | Quarantined] = []
    reading = read_source(path, **options)
    with pytest.raises(InputError) as error:
        result.extend(reading)
    return result, str(error.value)
