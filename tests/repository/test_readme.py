"""The README, word for word, on a fresh clone in a fresh environment: what it tells to type works, what it links is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from corpora import write_corpus
from documents import ROOT
from models import save_llama

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (ROOT / "README.md").read_text()
EVERYTHING_FROM_A_SHELL = 1200


def blocks() -> list[list[str]]:
    """Return the commands of each block of the README, comments removed."""
    found = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [[line.split("  # ")[0].strip() for line in block.splitlines() if line.strip()] for block in found]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a clone of the last commit, with the files that the README speaks of as the user's own."""
    folder = tmp_path_factory.mktemp("fresh") / "curate-clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    save_llama(folder / "models" / "original")
    write_corpus(folder / "data.jsonl", rows=60)
    yield folder
    subprocess.run(["rm", "-rf", str(folder / ".venv")], check=True)


def typed(command: str, folder: Path) -> str:
    """Run a command as a person would, who has only this folder's environment, and return what it printed."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    path = f"{folder}/.venv/bin:{Path(sys.base_prefix) / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, cwd=folder, env={**kept, "PATH": path}, capture_output=True, text=True,
        timeout=EVERYTHING_FROM_A_SHELL,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_two_commands_are_the_two_that_are_tested() -> None:
    assert blocks()[0] == ["make demo", "make test"]
    assert "make test\nmake check\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.slow
def test_a_new_user_follows_the_readme(clone: Path) -> None:
    told = typed("make demo", clone)
    assert re.search(r"paser, budget 0\.1 → 752 of 7,508 examples", told)
    assert "top terms" in told
    assert "480 exact duplicates merged, 12 quarantined: no response (12)" in told
    for name in ("artefact", "catalog", "picture"):
        line = re.search(rf"^{name} +(\S+)$", told, re.MULTILINE)
        assert line is not None, told
        assert Path(line[1]).exists()
    typed("rm -r warehouse", clone)
    for command in blocks()[1]:
        if "EXAMPLE_ID" in command:
            first = typed('curate sql --csv "SELECT example_id FROM ledger WHERE kept LIMIT 1"', clone)
            command = command.replace("EXAMPLE_ID", first.split()[1].strip('"'))
        told = typed(command, clone)
        if command.startswith("curate sql"):
            assert re.search(r"selected +6\s", told), told
    assert (clone / "exported" / "dataset_info.json").exists()
