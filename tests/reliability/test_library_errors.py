"""An error of the operating system inside DuckDB, Arrow, torch or Python's file objects is one sentence, loses nothing.

`test_injected_errors.py` raises in Python's calls; here the C library returns it, to any caller.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import failing_calls
import pytest
import reliable_verbs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) for the library that fails calls"),
]
ERRORS = 60


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reliable_verbs.prepare(tmp_path_factory.mktemp("reliability") / "base")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[failing_calls.Server]:
    with failing_calls.Server(tmp_path_factory.mktemp("server")) as server:
        yield server


def test_errors_below_python(base: Path, server: failing_calls.Server, tmp_path: Path) -> None:
    whole: dict[str, tuple[dict[str, bytes], tuple[int, ...]]] = {}
    codes: Counter[int] = Counter()
    faults: Counter[tuple[str, str]] = Counter()
    for seed in range(reliable_verbs.count(ERRORS)):
        _, verb = reliable_verbs.case(seed)
        if verb not in whole:
            whole[verb] = server.undisturbed(base, tmp_path / "whole", verb)
        left, counts = whole[verb]
        fault = failing_calls.draw_fault(random.Random(seed), counts)
        folder = reliable_verbs.copied(base, tmp_path / "case")
        ended = server.run(folder, verb, fault)
        case = (seed, verb, fault.what, fault, ended)
        assert server.counts()[fault.counter] >= fault.nth, case
        assert ended.code in (0, 1, 3, 4), case
        assert "Traceback" not in ended.err, case
        assert "unexpected" not in ended.err, case
        reliable_verbs.assert_whole(folder)
        again = server.run(folder, verb)
        assert again.code == 0, (case, again)
        assert reliable_verbs.content(folder) == left, case
        shutil.rmtree(folder)
        codes[ended.code] += 1
        faults[fault.what] += 1
    print(dict(codes), dict(faults))
    assert codes[1] > 0
