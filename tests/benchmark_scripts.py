"""Imports scripts of the folder `benchmarks`, which is no package."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from documents import ROOT

if TYPE_CHECKING:
    from types import ModuleType


def load_script(name: str) -> ModuleType:
    """Return the module ``benchmarks/NAME.py``."""
    folder = str(ROOT / "benchmarks")
    # `benchmarks/references` would hide `tests/references` if the folder stayed on the path.
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)
