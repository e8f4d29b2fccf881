"""Rounded figures of the README and default learning rates of the pages, against what they are taken from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from benchmark_scripts import load_script
from documents import ROOT

from curate.schemas.learning_rates import LEARNING_RATES, lora_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

FIGURE = r"(-?\d+\.\d+) \[(-?\d+\.\d+), (-?\d+\.\d+)\]"
RATIO = r"(\d+\.\d+) times \[(\d+\.\d+), (\d+\.\d+)\]"
README = (ROOT / "README.md").read_text().partition("\n## Results\n")[2].partition("\n## ")[0]


def plain(text: str) -> str:
    """Return text on one line, without marks of emphasis and signs of positive numbers."""
    return " ".join(re.sub(r"\*\*|\+(?=\d)", "", text).replace("−", "-").split())


def ratios() -> Iterator[tuple[float, float, float]]:
    """Yield the ratios that the kept answers of the trial on a real model give, of arms with several seeds."""
    planned, report = load_script("real_model.planned"), load_script("real_model.report")
    for original in (ROOT / "benchmarks" / "real_model" / "results").glob("*/*/original.parquet"):
        answers = report.read_answers(original.parent)
        several = {arm for arm, seeds in answers.cells.items() if len(seeds) > 1}
        for one in (planned.FIRST, *planned.SECONDARY):
            if one.ratio and {one.ours, one.other} <= several:
                found = one.interval(answers)
                yield found.value, found.low, found.high


def test_the_ratios_of_the_readme_are_those_of_the_answers_that_are_kept() -> None:
    shown = re.findall(RATIO, plain(README))
    assert shown
    known = list(ratios())
    for figure in shown:
        digits = len(figure[0].partition(".")[2])
        rounded = {tuple(f"{number:.{digits}f}" for number in one) for one in known}
        assert figure in rounded, f"{figure[0]} times [{figure[1]}, {figure[2]}] is none of {sorted(rounded)}"


def test_the_other_figures_of_the_readme_stand_on_the_page_that_it_links() -> None:
    items = [plain(item) for item in README.split("\n- ")[1:]]
    assert any(re.search(FIGURE, item) for item in items)
    for item in items:
        pages = [plain((ROOT / page).read_text()) for page in re.findall(r"\((docs/[^)#]+)\)", item)]
        for figure in re.finditer(FIGURE, item):
            assert any(figure[0] in page for page in pages), f"{figure[0]} is on no page that its line links"


PAGES = ("docs/recovery.md", "docs/decisions/0025-learning-rate-by-width.md")


@pytest.mark.parametrize("page", PAGES)
def test_rates_by_width_on_the_pages_are_the_defaults(page: str) -> None:
    text = plain((ROOT / page).read_text())
    at_width = re.findall(r"(\d\.\de-\d) at (?:a width of )?(\d[\d,]*\d)", text)
    assert at_width
    for rate, width in at_width:
        assert float(rate) == lora_rate(int(width.replace(",", ""))), (rate, width)
    formula = re.search(r"(\de-\d) · \((\d+) / width\)\^(\d\.\d+)", text)
    assert formula is not None
    scale, reference, exponent = (float(part) for part in formula.groups())
    for width in (128, 576, 2048, 4096, 8192):
        assert lora_rate(width) == pytest.approx(scale * (reference / width) ** exponent, rel=0.05)


def test_the_other_rates_on_the_page_are_the_defaults() -> None:
    text = plain((ROOT / "docs" / "recovery.md").read_text())
    shown = {
        method: float(rate)
        for rate, methods in re.findall(r"(\de-\d) for ((?:`\w+`(?: and )?)+)", text)
        for method in re.findall(r"`(\w+)`", methods)
    }
    assert shown == LEARNING_RATES
