"""A verb that is killed at any call to the kernel leaves whole files, and the same command gives the same bytes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import reliable_verbs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
KILLS = 100


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reliable_verbs.prepare(tmp_path_factory.mktemp("reliability") / "base")


def test_kills(base: Path, tmp_path: Path) -> None:
    whole: dict[str, dict[str, bytes]] = {}
    killed = 0
    for seed in range(reliable_verbs.count(KILLS) * 3):
        draw, verb = reliable_verbs.case(seed)
        whole[verb] = whole.get(verb) or reliable_verbs.undisturbed(base, tmp_path / "whole", verb)
        folder = reliable_verbs.copied(base, tmp_path / "case")
        moment = draw.randrange(1, 45)
        ended = reliable_verbs.run(folder, verb, reliable_verbs.at_event(moment, reliable_verbs.die))
        assert ended.code in (0, -9), (seed, verb, ended)
        reliable_verbs.assert_whole(folder)
        rubbish = [path.name for path in folder.glob("out/.*")]
        assert not rubbish, (seed, verb, rubbish)
        again = reliable_verbs.run(folder, verb)
        assert again.code == 0, (seed, verb, again)
        assert reliable_verbs.content(folder) == whole[verb], (seed, verb)
        shutil.rmtree(folder)
        killed += ended.code == -9
        if killed == reliable_verbs.count(KILLS):
            break
    print({"kills": killed})
    assert killed == reliable_verbs.count(KILLS)
