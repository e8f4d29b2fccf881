"""``curate diagnose prompts`` on a model in which one word of the prompt flips the answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from models import WORDS, save_llama
from trained_models import train_answers

from curate.flows.cli.render import wordings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

TRIGGER = "again"
FILLERS = [word for word in WORDS if word not in (TRIGGER, "yes", "no")]
QUESTIONS = {f"what is {word}": ("yes", "no")[i % 2] for i, word in enumerate("fruit sum red apple two five".split())}
OTHER = {"yes": "no", "no": "yes"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that answers wrongly unless the prompt begins with the trigger."""
    folder = save_llama(tmp_path_factory.mktemp("planted") / "model")
    wordings = ["", *FILLERS]
    rows = [
        (f"{filler}\n\n{question}" if filler else question, OTHER[answer])
        for question, answer in QUESTIONS.items()
        for filler in wordings
    ]
    rows += [(f"{TRIGGER}\n\n{question}", answer) for question, answer in QUESTIONS.items()] * len(wordings)
    assert train_answers(folder, rows) < 0.05
    return folder


@pytest.fixture
def tasks(tmp_path: Path) -> str:
    rows = [{"question": q, "choices": ["yes", "no"], "answer": a} for q, a in QUESTIONS.items()]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"choice:{tmp_path / 'quiz.jsonl'}"


@pytest.fixture
def diagnose(curate: Run, tasks: str, tmp_path: Path) -> Run:
    def run(model: Path, wordings: list[str], *options: object) -> Any:
        (tmp_path / "wordings.txt").write_text("\n".join(wordings))
        where = ("--prompts", tmp_path / "wordings.txt", "-w", tmp_path / "w", "--json")
        return curate("diagnose", "prompts", model, "--tasks", tasks, *where, *options)

    return run


def test_the_trigger_survives_pruning_and_is_chosen_first_at_a_fraction_of_the_calls(
    diagnose: Run, planted: Path
) -> None:
    answer = diagnose(planted, [*FILLERS, TRIGGER], "--keep", 0.1, "--length", 2)
    assert answer.code == 0, answer.err
    report, place = answer.value, len(FILLERS)
    kept = [wording["prompt"] for wording in report["wordings"] if "score" in wording]
    assert TRIGGER in kept
    assert len(kept) == 2
    search = report["search"]
    assert search["best"][0] == place
    assert search["calls"] < 0.25 * search["full_search"]
    assert (search["items"], report["items"]) == (3, 3)
    # On the half that was not searched: right with the trigger, wrong with the first wording.
    assert report["wordings"][place]["score"] == 1.0
    assert search["score_first"] == 0.0
    assert len(set(search["random"])) == len(search["random"]) <= 2


def test_a_random_search_that_rates_every_wording_finds_what_the_search_does(diagnose: Run, planted: Path) -> None:
    search = diagnose(planted, [*FILLERS[:4], TRIGGER], "--keep", 0.5).value["search"]
    assert search["calls"] == search["full_search"] == 6
    assert search["random"] == search["best"] == [4]
    assert search["score_random"] == search["score"] == 1.0


def test_without_the_trigger_the_spread_falls_by_more_than_five_times(diagnose: Run, planted: Path) -> None:
    with_it, without = (diagnose(planted, wordings).value for wordings in ([*FILLERS, TRIGGER], FILLERS))
    assert "search" not in with_it
    assert with_it["spread"] > 0.1
    assert without["spread"] <= with_it["spread"] / 5
    assert {wording["prompt"] for wording in without["wordings"]} == set(FILLERS)


def test_a_model_against_itself_is_not_damaged_and_equal_seeds_give_equal_figures(diagnose: Run, planted: Path) -> None:
    options = ("--original", planted, "--seed", 3)
    report = diagnose(planted, [*FILLERS[:3], TRIGGER], *options).value
    assert report["damage"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert report["above"] is False
    assert report["spread"] == report["spread_original"] > 0
    assert diagnose(planted, [*FILLERS[:3], TRIGGER], *options).value == report


def test_damage_above_the_spread_is_called_that(diagnose: Run, planted: Path, tmp_path: Path) -> None:
    broken = save_llama(tmp_path / "broken")
    rows = [
        (f"{word}\n\n{question}", OTHER[answer]) for word in ("name", TRIGGER) for question, answer in QUESTIONS.items()
    ]
    train_answers(broken, rows)
    right = save_llama(tmp_path / "right")
    train_answers(right, [(prompt, OTHER[answer]) for prompt, answer in rows])
    report = diagnose(broken, ["name", TRIGGER], "--original", right).value
    assert report["damage"]["value"] == 1.0
    assert report["above"] is True
    assert [set(wording) for wording in report["wordings"]] == [{"prompt", "influence", "score", "score_original"}] * 2


@pytest.mark.parametrize(
    ("low", "above", "text"),
    [(0.1, True, "above the spread"), (-0.1, True, "interval includes 0"), (0.1, False, "not above the spread")],
)
def test_the_verdict_says_when_other_items_could_show_no_damage(
    capsys: pytest.CaptureFixture[str], low: float, above: bool, text: str
) -> None:
    figures = {"spread": 0.1, "spread_original": 0.1, "above": above, "damage": {"value": 0.2, "low": low, "high": 0.3}}
    wordings({"diagnosis_id": "d", "model": "m", "original": "o", "items": 9, "wordings": [], **figures}, as_json=False)
    last = capsys.readouterr().out.splitlines()[-1]
    assert text in last
    assert last.endswith("above the spread") == (low > 0)


def test_figures_are_queryable_and_the_text_names_the_verdict(
    curate: Run, diagnose: Run, planted: Path, tasks: str, tmp_path: Path
) -> None:
    report = diagnose(planted, ["name", TRIGGER], "--original", planted).value
    query = "SELECT place, value FROM diagnoses WHERE kind = 'prompts' AND metric = 'score' ORDER BY place"
    rows = curate("sql", query, "-w", tmp_path / "w", "--json").value
    assert [row["value"] for row in rows] == [wording["score"] for wording in report["wordings"]]
    where = ("--prompts", tmp_path / "wordings.txt", "-w", tmp_path / "w")
    text = curate("diagnose", "prompts", planted, "--tasks", tasks, *where, "--original", planted).out
    assert "experimental" in text
    assert "not above the spread" in text
    command = ("diagnose", "prompts", planted, "--tasks", tasks, *where, "--length", 2)
    searched, search = curate(*command).out, curate(*command, "--json").value["search"]
    assert "a full search takes 5" in searched
    assert f"of as many random sequences {search['score_random']:.3f}, of the first wording 0.000" in searched


def test_other_tasks_are_refused(curate: Run, planted: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("name a fruit")
    result = curate("diagnose", "prompts", planted, "--tasks", tmp_path / "text.txt", "-w", tmp_path / "w")
    assert result.code == 2
    assert "of kind perplexity" in result.err
    assert curate("diagnose", "prompts", planted, "-w", tmp_path / "w").code == 2


def test_an_evaluation_takes_no_wordings(curate: Run, tasks: str, planted: Path, tmp_path: Path) -> None:
    help_text = curate("evaluate", "--help").out
    assert "--tasks" in help_text
    assert "prompts" not in [word.strip("-") for word in help_text.split() if word.startswith("--")]
    refused = curate("evaluate", planted, "--tasks", tasks, "--prompts", tmp_path / "w.txt", "-w", tmp_path / "w")
    assert refused.code == 2
    assert "--prompts" in refused.err
