"""Default, range, help text and flag of a setting come from one field."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from curate.schemas.defaults import default_of, format_default, option
from curate.schemas.fields import Section, Typed, help_of, setting, typed_of
from curate.schemas.recovery import RecoveryRequest
from curate.schemas.recovery_section import RecoverSettings
from curate.schemas.sections import RunSettings
from curate.schemas.settings import resolve


class Sample(Section):
    count: int = setting(5, "How many.", "--count", "-n", ge=1)
    rest: int | None = setting(None, "How many more.", shown="all")
    names: tuple[str, ...] = setting((), "Which.", syntax="commas")


def test_one_field_holds_default_help_and_flags() -> None:
    fields = Sample.model_fields
    assert help_of(fields["count"]) == "How many. [5]"
    assert typed_of(fields["count"]) == Typed(("--count", "-n"))
    assert help_of(fields["rest"]) == "How many more. [all]"
    assert typed_of(fields["names"]).syntax == "commas"
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Sample(count=0)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ""),
        (False, ""),
        (3, "3"),
        (0.05, "0.05"),
        (1e-4, "1e-4"),
        (3600.0, "3600"),
        (("a", "b"), "a,b"),
        ("", ""),
    ],
)
def test_defaults_are_printed_as_they_are_typed(value: object, words: str) -> None:
    assert format_default(value) == words


def test_every_setting_has_a_help_text_that_does_not_repeat_its_default() -> None:
    sections = [field.annotation for name, field in RunSettings.model_fields.items() if field.description is None]
    for section in [RunSettings, *sections]:
        for name, field in section.model_fields.items():  # type: ignore[union-attr]
            if field.description is not None:
                assert field.description.endswith("."), name
                assert "[" not in field.description, name


def test_recovery_defaults_are_those_of_the_engine() -> None:
    request = RecoveryRequest()
    for name in ("method", "rank", "alpha", "schedule", "warmup", "dropout", "parts", "merge", "checkpoint_steps"):
        assert RecoverSettings.model_fields[name].default == getattr(request, name), name
    assert "[2]" in help_of(RecoverSettings.model_fields["epochs"])
    assert resolve({}).score.max_length == request.max_length


def test_a_default_that_does_not_exist_is_an_error() -> None:
    @dataclass(frozen=True)
    class Method:
        share: float = option(0.3, "Share of rows, [0, 1).")

    assert default_of(Method, "share") == 0.3
    assert Method.__dataclass_fields__["share"].metadata["about"] == "Share of rows, [0, 1)."
    with pytest.raises(AttributeError, match="no field 'rank'"):
        default_of(Method, "rank")
