"""Budgets of a selection: a number of rows, a share of the corpus, or tokens.

``1`` is one row, ``0.1`` and ``10%`` a tenth of the corpus after exact merging, ``2M-tokens`` two million tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from curate.schemas.errors import InputError, UsageError

_TOKENS = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[kKMGB]?)[- ]?tokens?")
_SCALE = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}
_HELP = "give a share such as 0.1 or 10%, a number of rows such as 5000, or tokens such as 2M-tokens"


@dataclass(frozen=True)
class Budget:
    """Upper bound of what a selection keeps.

    ``amount`` is a share in (0, 1] for ``unit="share"``, otherwise a positive whole number of rows or tokens.
    """

    amount: Decimal
    unit: Literal["share", "rows", "tokens"]

    def __str__(self) -> str:
        text = f"{self.amount.normalize():f}"
        if self.unit == "share" and self.amount == 1:
            return "1.0"  # "1" is one row, and the text is part of a selection's id
        return f"{text}-tokens" if self.unit == "tokens" else text

    @property
    def in_tokens(self) -> bool:
        """True if rows cost their tokens, False if every row costs one."""
        return self.unit == "tokens"

    def resolve(self, n_examples: int, n_tokens: int, n_quarantined: int = 0) -> int:
        """Return the budget as a whole number of rows, or of tokens if it is given in tokens.

        A share refers to all rows of the input, including those in quarantine, but is at most the number of examples
        (docs/decisions/0010).

        Parameters
        ----------
        n_examples : int
            Examples of the corpus after exact merging, ineligible ones included.
        n_tokens : int
            Prompt and response tokens of the corpus after truncation (used for token budgets only).
        n_quarantined : int
            Rows that could not be read as examples (used for shares only).

        Raises
        ------
        UsageError
            If it is larger than the corpus.
        InputError
            If a share of this corpus rounds to no row.
        """
        available, what = (n_tokens, "tokens") if self.in_tokens else (n_examples, "examples")
        if self.unit == "share":
            total = n_examples + n_quarantined
            # Decimal arithmetic: 0.1 of 45 rows is 4.5 exactly, and half a row rounds up.
            rows = int((self.amount * total).to_integral_value(ROUND_HALF_UP))
            if rows == 0:
                raise InputError(
                    f"budget {self} of {total} examples rounds to 0 rows; "
                    "give a larger share, or a number of rows such as 1"
                )
            return min(rows, n_examples)
        if self.amount > available:
            raise UsageError(f"budget {self} is larger than the corpus, which has {available} {what}; give less")
        return int(self.amount)


def parse_budget(text: str) -> Budget:
    """Return the budget that `text` states.

    Raises
    ------
    UsageError
        If it is not a number, not positive, a fraction above 1, or a share outside (0 %, 100 %].
    """
    stripped = text.strip()
    if match := _TOKENS.fullmatch(stripped):
        tokens = Decimal(match["number"]) * _SCALE[match["unit"]]
        if tokens < 1 or tokens != tokens.to_integral_value():
            raise UsageError(f"budget {text!r} is not a whole, positive number of tokens; {_HELP}")
        return Budget(tokens, "tokens")
    percent = stripped.endswith("%")
    number = stripped.removesuffix("%").strip()
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", number):
        raise UsageError(f"budget {text!r} is not a number; {_HELP}")
    amount = Decimal(number)
    if amount <= 0:
        raise UsageError(f"budget {text!r} is not positive; {_HELP}")
    # "1" is one row and "1.0" the whole corpus, so the decimal point decides, not the value.
    if percent or "." in number:
        share = amount / 100 if percent else amount
        if share > 1:
            raise UsageError(f"budget {text!r} is more than the whole corpus; {_HELP}")
        return Budget(share, "share")
    return Budget(amount, "rows")
