"""Reads the groups among which a budget is divided: the sources of a corpus, or its column of the user's naming."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from curate.schemas.errors import UsageError
from curate.schemas.selection import Grouping

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.storage.warehouse.warehouse import Warehouse

UNNAMED = "not stated"
"""Name of the group of rows without a value."""


def read_groups(warehouse: Warehouse, corpus: str, ids: pa.ChunkedArray, kind: str) -> Grouping:
    """Return the group of every example, numbered in order of their names.

    Parameters
    ----------
    ids : ChunkedArray of string
        The examples, in corpus order.
    kind : {"source", "column"}
        The file that an example was read from, or the column that ``--map group=COLUMN`` named. An example of several
        rows is in the group of the first.

    Raises
    ------
    UsageError
        If the corpus was read without such a column.
    """
    rows = warehouse.read("corpus", corpus, "sources")
    column = {"source": "source", "column": "group"}[kind]
    if column not in rows.column_names or rows[column].null_count == len(rows):
        raise UsageError(
            f"--groups column: no row of corpus {corpus} has a group; name the column that holds them when the corpus "
            "is read, for example --map group=subject, or choose --groups source"
        )
    # index_in finds the first of equal values, and the rows are in the order in which they were read.
    first = pc.index_in(ids, value_set=rows["example_id"].combine_chunks())
    values = pc.fill_null(rows[column].take(first), UNNAMED).to_numpy(zero_copy_only=False)
    names, numbers = np.unique(values.astype(np.str_), return_inverse=True)
    return Grouping(numbers.astype(np.int32), tuple(names.tolist()))
