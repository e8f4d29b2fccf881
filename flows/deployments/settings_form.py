"""The settings of a flow as a form: every setting of ``curate.toml`` with its description, none of them filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from curate.schemas.fields import Section, help_of
from curate.schemas.sections import RunSettings


def form_of(section: type[BaseModel], name: str) -> type[BaseModel]:
    """Return a model with the fields of a section, each optional and None by default.

    A field that is left empty keeps the value of the environment or of ``curate.toml``; a form filled with the defaults
    would override both.
    """
    fields: dict[str, Any] = {}
    for key, field in section.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            about = (kind.__doc__ or "").strip().splitlines()[0]
            fields[key] = (form_of(kind, f"{name}{key.title()}") | None, Field(None, description=about))
        else:
            fields[key] = (kind | None, Field(None, description=help_of(field)))
    return create_model(name, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)


def overrides(form: BaseModel | None) -> dict[str, Any]:
    """Return the settings that were filled in, nested by section, as JSON-compatible values."""
    return {} if form is None else _filled(form, form.model_dump(mode="json"))


def _filled(form: BaseModel, values: dict[str, Any]) -> dict[str, Any]:
    # Not exclude_none of pydantic, which would also drop the nulls inside options of a method.
    filled = {}
    for name in type(form).model_fields:
        value = getattr(form, name)
        if value is not None:
            filled[name] = _filled(value, values[name]) if isinstance(value, BaseModel) else values[name]
    return filled


if TYPE_CHECKING:  # a model made at run time cannot be an annotation for the type checker

    class SettingsForm(BaseModel):
        """The settings of a flow."""
else:
    SettingsForm = form_of(RunSettings, "SettingsForm")
