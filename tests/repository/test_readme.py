"""The README on a fresh clone in a fresh environment: its commands run, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from corpora import write_corpus
from documents import ROOT
from models import save_llama

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (ROOT / "README.md").read_text()
TIMEOUT = 1200


def blocks() -> list[list[str]]:
    """Return the commands of each shell block of the README, comments removed: install, make, ledger, own models."""
    shell = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [[line.split("  # ")[0].strip() for line in block.splitlines() if line.strip()] for block in shell]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a clone of the last commit, with the files that the README takes as the user's own."""
    folder = tmp_path_factory.mktemp("fresh") / "curate-clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    save_llama(folder / "models" / "original")
    write_corpus(folder / "data.jsonl", rows=60)
    write_corpus(folder / "heldout.jsonl", rows=20, seed=1)
    yield folder
    subprocess.run(["rm", "-rf", str(folder / ".venv")], check=True)


def run_shell(command: str, folder: Path) -> str:
    """Run a command with the environment of this folder only, and return what it printed."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    path = f"{folder}/.venv/bin:{Path(sys.base_prefix) / 'bin'}:{os.environ['PATH']}"
    result = subprocess.run(
        command, shell=True, cwd=folder, env={**kept, "PATH": path}, capture_output=True, text=True,
        timeout=TIMEOUT,
    )  # fmt: skip
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if not link.startswith("https://")]
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_it_is_short_and_names_the_papers() -> None:
    assert len(README.splitlines()) < 90
    for paper in ("2502.12594", "2504.14810", "2312.15230", "2310.01382"):
        assert f"arXiv {paper}](https://arxiv.org/abs/{paper})" in README


def test_every_extra_is_in_the_table() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    rows = re.findall(r"^\| (`[a-z]+`(?:, `[a-z]+`)*) \|", README.partition("## Two commands")[0], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z]+)`", row)} == set(extras)


def test_the_results_are_those_of_the_results_pages() -> None:
    for page in ("results.md", "real-data.md"):
        text = (ROOT / "docs" / page).read_text()
        (quoted,) = re.findall(rf"([+-]\d\.\d+)\W+\[(\S+), (\S+)\].*\(docs/{page}\)", README)
        gain, low, high = quoted
        assert f"{gain} [{low if low[0] == '-' else '+' + low}, +{high}]" in text


def test_the_two_commands_are_the_two_that_are_tested() -> None:
    assert blocks()[1] == ["make demo", "make test"]
    assert "make test\nmake check\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.slow
def test_a_new_user_follows_the_readme(clone: Path) -> None:
    output = run_shell("make demo", clone)
    assert re.search(r"paser, budget 0\.1 → 752 of 7,508 examples", output)
    assert "top terms" in output
    assert "480 exact duplicates merged, 12 quarantined: no response (12)" in output
    for name in ("artefact", "catalog", "picture"):
        line = re.search(rf"^{name} +(\S+)$", output, re.MULTILINE)
        assert line is not None, output
        assert Path(line[1]).exists()
    (query,) = blocks()[2]
    output = run_shell(query, clone)
    assert output.split()[:6] == ["cluster", "example_id", "score", "kept", "rank", "reason"]
    assert re.search(r"selected *\n.*selected *\n.*budget *\n.*budget *\n", output), output
    run_shell("rm -r warehouse", clone)
    for command in [*blocks()[0], *blocks()[3]]:
        if "EXAMPLE_ID" in command:
            first = run_shell('curate sql --csv "SELECT example_id FROM ledger WHERE kept LIMIT 1"', clone)
            command = command.replace("EXAMPLE_ID", first.split()[1].strip('"'))
        output = run_shell(command, clone)
        if command.startswith("curate select"):
            assert re.search(r"selected +6\s", output), output
    assert (clone / "exported" / "dataset_info.json").exists()
