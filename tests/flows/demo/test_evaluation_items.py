"""What guessing would score on the demo's held-out rows."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from curate.flows.demo.capabilities import CAPABILITIES
from curate.flows.demo.evaluation_items import chance, heldout_items


@pytest.mark.parametrize(
    ("capability", "question", "share"),
    [
        ("recall", "Look it up.\n\nk7 m2 q9, m", 1 / 3),
        ("recall", "Look it up: k7 m2 q9 a1, m", 1 / 4),
        ("majority", "Who wins?\n\nx f f x x x f", 1 / 2),
        ("sorting", "Sort.\n\nt r o s", 0.0),
    ],
)
def test_chance_is_a_share_of_the_answers_on_offer(capability: str, question: str, share: float) -> None:
    assert chance(capability, question) == pytest.approx(share)


def test_every_held_out_row_is_asked_under_its_capability() -> None:
    shares = defaultdict(list)
    for item in heldout_items():
        shares[item["group"]].append(item["chance"])
    assert {name: len(values) for name, values in shares.items()} == dict.fromkeys(CAPABILITIES, 150)
    assert 0.2 < np.mean(shares["recall"]) < 0.34
    assert 0.25 <= np.mean(shares["majority"]) <= 0.5
    assert all(max(values) == 0 for name, values in shares.items() if name not in ("recall", "majority"))
