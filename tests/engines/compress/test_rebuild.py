"""A configuration that cannot describe the model ends in one sentence, whichever check rejects it."""

from __future__ import annotations

import pytest
from references.width import random_model

from curate.engines.compress.rebuild import check_config
from curate.schemas.errors import InputError


def test_a_configuration_that_describes_the_model_passes() -> None:
    check_config(random_model("llama"), "rejected", "differs")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # A validator of the configuration's class, an exception of the model's, and other shapes.
        ("num_attention_heads", 5, r"^rejected \(The hidden size \(16\) is not a multiple .* heads \(5\)\)$"),
        ("hidden_act", "none", r"^rejected \(none\)$|^rejected \('none'\)$"),
        ("intermediate_size", 25, r"^differs$"),
    ],
)
def test_a_configuration_that_does_not_is_refused(key: str, value: object, message: str) -> None:
    model = random_model("llama")
    setattr(model.config, key, value)
    with pytest.raises(InputError, match=message):
        check_config(model, "rejected", "differs")
