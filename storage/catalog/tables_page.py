"""Generates docs/tables.md from the definitions of the catalog's tables and views."""

from __future__ import annotations

import sys

from curate.storage.catalog.stored_tables import STORED
from curate.storage.catalog.views import VIEWS, Column

_HEAD = """\
# Tables of the catalog

Names, column order and types are a contract. Views read the Parquet files of the artefacts; tables are stored in
`catalog.duckdb`, in the schemas `settled` and `recent`, whose union has the name below. This page is generated from
the code: `python -m curate.storage.catalog.tables_page > docs/tables.md`.
"""


def tables_markdown() -> str:
    """Return the text of docs/tables.md."""
    sections = {
        view.name: _section(view.name, f"{view.about} View over {view.noun} artefacts.", view.columns) for view in VIEWS
    }
    sections |= {table.name: _section(table.name, f"{table.about} Table.", table.columns) for table in STORED}
    return "\n".join([_HEAD, *(sections[name] for name in sorted(sections))])


def _section(name: str, about: str, columns: tuple[Column, ...]) -> str:
    rows = "".join(f"| `{one.name}` | `{one.type}` | {one.about} |\n" for one in columns)
    return f"## {name}\n\n{about}\n\n| column | type | meaning |\n|---|---|---|\n{rows}"


if __name__ == "__main__":
    sys.stdout.write(tables_markdown())
