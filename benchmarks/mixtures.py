"""Mixtures of real sources with known labels, for clusterings: the source of a row is its label.

A mixture names its sources and how many rows of each are drawn; a draw has a seed. Graph, start and rule for K were
chosen on `TUNING`; its last two mixtures take the odd rows of every file, the others the even ones. `HELD_OUT` was run
once, after the choice, and takes rows that are in none of those. Embeddings are computed once and cached.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from clustering import _encode, _prompts

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUBJECTS = {
    "law": ("professional_law", "international_law", "jurisprudence"),
    "psychology": ("professional_psychology", "high_school_psychology"),
    "medicine": ("clinical_knowledge", "college_medicine", "professional_medicine", "anatomy", "virology", "nutrition"),
    "mathematics": ("elementary_mathematics", "high_school_mathematics", "college_mathematics", "abstract_algebra"),
    "economics": ("high_school_macroeconomics", "high_school_microeconomics", "econometrics"),
    "history": ("high_school_us_history", "high_school_european_history", "high_school_world_history", "prehistory"),
    "moral scenarios": ("moral_scenarios",),
    "ethics": ("moral_disputes", "philosophy", "logical_fallacies", "world_religions", "business_ethics"),
    "physics": ("conceptual_physics", "high_school_physics", "college_physics", "astronomy", "electrical_engineering"),
    "computing": ("college_computer_science", "computer_security", "machine_learning", "high_school_computer_science"),
    "business": ("professional_accounting", "marketing", "management", "public_relations"),
    "society": ("sociology", "high_school_government_and_politics", "security_studies", "high_school_geography"),
    "biology": ("high_school_biology", "college_biology", "medical_genetics", "human_aging"),
    "chemistry": ("high_school_chemistry", "college_chemistry"),
}
"""Groups of MMLU subjects."""

TUNING: dict[str, dict[str, int]] = {
    "six": dict.fromkeys(
        ("gsm8k_train", "codealpaca", "boolq_train", "openbookqa_train", "arc-easy_train", "alpaca52k"), 160
    ),
    "four": dict.fromkeys(("gsm8k_train", "codealpaca", "wikitext2_valid", "arc-challenge_train"), 160),
    "skewed": {
        "wikitext2_valid": 400,
        "gsm8k_train": 200,
        "codealpaca": 100,
        "medicine": 60,
        "boolq_train": 40,
        "history": 40,
    },
    "many": dict.fromkeys(
        (
            *("gsm8k_train", "codealpaca", "boolq_train", "wikitext2_valid", "openbookqa_train", "law"),
            *("psychology", "medicine", "mathematics", "economics", "history", "moral scenarios"),
        ),
        50,
    ),
    "odd six": dict.fromkeys(
        ("gsm8k_test", "codealpaca", "boolq_test", "wikitext2_valid", "arc-challenge_test", "alpaca52k"), 160
    ),
    "odd ten": {
        "gsm8k_test": 150,
        "codealpaca": 100,
        "boolq_test": 100,
        "openbookqa_test": 60,
        "ethics": 60,
        "physics": 60,
        "business": 60,
        "society": 60,
        "biology": 40,
        "computing": 30,
    },
}

HELD_OUT: dict[str, dict[str, int]] = {
    "held-out five": dict.fromkeys(("gsm8k_test", "codealpaca", "boolq_test", "arc-easy_test", "alpaca52k"), 160),
    "held-out seven": {
        "alpaca52k": 300,
        "gsm8k_train": 200,
        "openbookqa_train": 120,
        "arc-challenge_test": 120,
        "codealpaca": 60,
        "boolq_train": 60,
        "chemistry": 28,
    },
}

ODD = {"odd six", "odd ten"}
"""Tuning mixtures that take the odd rows of every file."""

MIXTURES = TUNING | HELD_OUT
POOL = 1_000
"""Rows of a source from which a draw takes its rows."""


def draw(corpora: Path, name: str, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the embeddings of one draw of a mixture, shape (n, 384), and the source of every row."""
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for label, (source, count) in enumerate(MIXTURES[name].items()):
        pool = _pool(corpora, source, name)
        rows.append(pool[np.sort(rng.choice(len(pool), count, replace=False))])
        labels += [label] * count
    return np.concatenate(rows), np.array(labels)


def planted(seed: int, topics: int = 12, themes: int = 60) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return rows of themes inside planted topics, 32 of each theme, and their topics; cosines like real prompts'."""
    rng = np.random.default_rng(seed)
    topic = np.repeat(np.arange(topics), themes // topics)
    centre = rng.standard_normal((topics, 384))[topic] + 0.8 * rng.standard_normal((themes, 384))
    theme = np.repeat(np.arange(themes), 32)
    rows = centre[theme] + rng.standard_normal((len(theme), 384))
    return rows.astype(np.float32), topic[theme]


def _pool(corpora: Path, source: str, mixture: str) -> NDArray[np.float32]:
    """Return the embeddings of at most POOL rows of a source, from the cache if they are there."""
    texts = _texts(corpora, source)
    if mixture in HELD_OUT:
        used = {text for tuned in TUNING if source in TUNING[tuned] for text in _part(texts, source, tuned)}
        texts = _spread([text for text in texts if text not in used])
    else:
        texts = _part(texts, source, mixture)
    key = hashlib.blake2b("\0".join(texts).encode(), digest_size=8).hexdigest()
    cache = Path(tempfile.gettempdir()) / f"curate-pool-{key}.npy"
    if not cache.exists():
        np.save(cache, _encode(texts))
    return np.load(cache)


def _part(texts: list[str], source: str, mixture: str) -> list[str]:
    """Return the texts from which a tuning mixture draws: half of a file, all questions of a group of subjects."""
    return _spread(texts if source in SUBJECTS else texts[mixture in ODD :: 2])


def _spread(texts: list[str]) -> list[str]:
    """Return at most POOL texts, evenly spread."""
    return texts[:: max(1, len(texts) // POOL)][:POOL]


def _texts(corpora: Path, source: str) -> list[str]:
    if source in SUBJECTS:
        frame = pl.read_parquet(corpora / "mmlu_val.parquet")
        return frame.filter(pl.col("subject").is_in(SUBJECTS[source]))["question"].to_list()
    text = corpora / f"{source}.txt"
    if text.exists():
        # Paragraphs, without headings.
        return [line.strip() for line in text.read_text().splitlines() if len(re.findall(r"\w+", line)) >= 20]
    return _prompts(corpora / f"{source}.parquet")
