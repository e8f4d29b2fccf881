"""Shared fixtures; puts tests/ on the path so that `references` and `assertions` can be imported."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))

# No test is timed: on a busy machine the first example alone can take longer than hypothesis allows.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real corpora and models beside the checkout (never part of the project)."""
    folder = Path(os.environ.get("CURATE_REALDATA", TESTS.parent.parent / "shared"))
    if not (folder / "corpora").is_dir():
        pytest.skip(f"real corpora are not here ({folder}); set CURATE_REALDATA to their folder")
    return folder
