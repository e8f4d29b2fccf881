"""A process reports its own peak memory, not that of its parent."""

from __future__ import annotations

import subprocess
import sys

from curate.schemas.peak_memory import peak_memory

MIB = 1 << 20


def test_the_peak_follows_what_is_allocated() -> None:
    before = peak_memory()
    held = bytearray(300 * MIB)
    assert peak_memory() >= max(before, 300 * MIB)
    del held
    assert peak_memory() >= 300 * MIB, "a peak does not fall"


def test_the_peak_of_a_child_is_its_own() -> None:
    held = bytearray(400 * MIB)
    code = "from curate.schemas.peak_memory import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * MIB
    del held
