"""Imports scripts of the folder `benchmarks`, which is no package."""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from typing import TYPE_CHECKING

from documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path
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


def run_script(script: Path, arguments: list[str], output: Path) -> None:
    """Run a script as a program in this process, a child of the fork server, and write all that it prints to a file."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = [str(script), *arguments]
    sys.path[0] = str(script.parent)
    runpy.run_path(str(script), run_name="__main__")
