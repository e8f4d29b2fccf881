"""Finds the files of a data blend as Model-Optimizer does, written from its documentation, not from the exporter.

Source: "Prepare token-budgeted data blends", examples/researcher_guide of NVIDIA Model-Optimizer (2026): keys of the
configuration and of its sources; files are those of a data set on the hub, downloaded to ``raw/OWNER--NAME`` beside the
output folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from huggingface_hub import hf_hub_download

SOURCE_KEYS = {"hf_dataset", "files", "content_field", "weight", "config", "split", "max_samples"}


class Source(NamedTuple):
    """One source of a blend."""

    weight: float
    file: str
    rows: list[dict[str, Any]]


def load(config: Path) -> list[Source]:
    """Return the sources of a blend; the files have to be there, since tests reach no hub."""
    blend = yaml.safe_load(config.read_text(encoding="utf-8"))
    assert blend.keys() <= {"tokenizer", "output_dir", "target_tokens", "sources"}
    sources = []
    for one in blend["sources"]:
        assert one.keys() <= SOURCE_KEYS
        assert one["content_field"] == "messages"
        raw = Path(blend["output_dir"]).parent / "raw" / one["hf_dataset"].replace("/", "--")
        for file in one["files"]:
            local = hf_hub_download(repo_id=one["hf_dataset"], filename=file, repo_type="dataset", local_dir=raw)
            lines = Path(local).read_text(encoding="utf-8").splitlines()
            sources.append(Source(float(one["weight"]), file, [json.loads(line) for line in lines]))
    return sources
