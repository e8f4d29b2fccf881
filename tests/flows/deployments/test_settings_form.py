"""The form of a flow's settings: typed, described, empty by default, and the same settings once resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prefect.utilities.callables import parameter_schema_from_entrypoint
from pydantic import ValidationError

from curate.flows.deployments.settings_form import SettingsForm, overrides
from curate.schemas.settings import Settings, resolve

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("flow", ["nightly", "recovery", "gc"])
def test_every_parameter_and_every_setting_is_described_in_the_form(flow: str) -> None:
    schema = parameter_schema_from_entrypoint(f"curate.flows.deployments.scheduled.{flow}").model_dump_for_openapi()
    assert schema["properties"]
    described = {"": schema["properties"]} | {name: one["properties"] for name, one in schema["definitions"].items()}
    lacking = [
        f"{name}.{key}"
        for name, fields in described.items()
        for key, one in fields.items()
        if not one.get("description")
    ]
    assert lacking == []
    assert {"SettingsForm", "SettingsFormSelect"} <= schema["definitions"].keys()
    assert schema["definitions"]["SettingsFormSelect"]["properties"]["budget"]["anyOf"][0] == {"type": "string"}


def test_an_empty_form_overrides_nothing() -> None:
    assert overrides(None) == overrides(SettingsForm()) == {}
    assert overrides(SettingsForm.model_validate({"select": {"budget": None}})) == {"select": {}}


def test_settings_that_went_through_the_form_resolve_to_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {
        "warehouse": "w", "corpus": ["a.jsonl"], "select": {"budget": "5", "options": {"x": None, "y": [1]}},
        "ingest": {"map": {"response": "answer"}}, "verify": False,
    }  # fmt: skip
    settings = resolve(given)
    assert overrides(SettingsForm.model_validate(given)) == given
    assert Settings(**overrides(SettingsForm.model_validate(settings.model_dump(mode="json")))) == settings


def test_an_unknown_setting_is_refused_by_the_form() -> None:
    with pytest.raises(ValidationError, match="budgte"):
        SettingsForm.model_validate({"select": {"budgte": "5"}})
