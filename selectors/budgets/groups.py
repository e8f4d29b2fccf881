"""The setting ``--groups``: what a budget is divided among, shared by the methods that divide it.

Clusters find capabilities that nobody named; where the sources of a corpus, or a column of it, name them, those may be
used instead.
"""

from __future__ import annotations

from typing import Literal, get_args

from curate.schemas.errors import UsageError
from curate.selectors.validation import check_choice

Groups = Literal["cluster", "source", "column"]

GROUPS_ABOUT = "Divide the budget among: cluster, source (file) or column (the one of --map group=COLUMN)."

_NEEDS: dict[str, frozenset[str]] = {
    "cluster": frozenset({"clusters"}),
    "source": frozenset({"groups"}),
    "column": frozenset({"groups"}),
}
"""What a method reads of a pool for each value of the setting."""


def group_needs(groups: Groups) -> frozenset[str]:
    """Return what dividing a budget among `groups` reads of a pool."""
    return _NEEDS[groups]


def check_groups(groups: Groups, allocation: str) -> None:
    """Raise UsageError for an unknown value, or for groups that have no gain curves."""
    check_choice("--groups", groups, get_args(Groups))
    if groups != "cluster" and allocation == "recoverability":
        raise UsageError(
            f"--groups {groups} does not go with --allocation recoverability, whose pilots are of clusters; "
            "choose --allocation tempered, or --groups cluster"
        )
