"""The files that the build writes into the package are complete and small."""

from __future__ import annotations

from curate.flows import demo


def test_the_package_is_small_and_complete() -> None:
    assert demo.data_path().is_dir()
    model = {path.name: path.stat().st_size for path in demo.model_path().iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(model)
    assert model["model.safetensors"] <= 10_000_000
    assert sum(path.stat().st_size for path in demo.data_path().glob("*.*")) < 1_000_000
