"""The import graph of the five packages of `curate`: which file imports which, circles, and imports that point upwards.

Every import counts: at the top of a file, inside a function, and under ``if TYPE_CHECKING``. Files are parsed, never
imported, so any checkout can be read.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Set
    from pathlib import Path

    Graph = Mapping[str, Set[str]]

PACKAGES = ("engines", "selectors", "storage", "flows", "schemas")

ORDER = {
    "engines": (
        "library_output workers models tokens embed score evaluate diagnose compress sample pretrain recover job "
        "job_task cell_task"
    ),
    "selectors": (
        "row_costs candidates decision validation neighbours text ranking clustering budgets consistency assessment "
        "search methods registry"
    ),
    "storage": "warehouse formats inputs catalog maintenance exports report",
    "flows": ("progress converted_models demo stages pipeline session operations comparison deployments dispatch cli"),
}
"""Folders and root files of a package, lowest first: an entry imports only from those to its left.

The package's own ``__init__`` is above them all. ``schemas`` has no folders, so only circles are checked there.
"""


def source_files(root: Path) -> dict[str, Path]:
    """Return the Python files of the five packages by module name; ``engines.score`` is ``engines/score/__init__.py``.

    Raises
    ------
    ValueError
        When `root` holds none of the packages.
    """
    files = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    if not files:
        raise ValueError(f"{root} holds none of the folders {', '.join(PACKAGES)}; give the root of a checkout")
    return files


def import_graph(files: Mapping[str, Path]) -> dict[str, set[str]]:
    """Return, for each module, the other modules that it imports."""
    return {name: set(_imported(name, path, files)) - {name} for name, path in files.items()}


def _imported(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            candidates = [alias.name.removeprefix("curate.") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            # `from curate.flows import progress` imports a file, `from curate.flows.progress import log` a name of it.
            candidates = [one if (one := f"{base}.{alias.name}") in files else base for alias in node.names]
        else:
            continue
        yield from (candidate for candidate in candidates if candidate in files)


def _base(node: ast.ImportFrom, package: str) -> str:
    """Return the absolute module of a ``from`` import, without ``curate.``."""
    if not node.level:
        return (node.module or "").removeprefix("curate.")
    parents = package.split(".")
    return ".".join([*parents[: len(parents) - node.level + 1], *([node.module] if node.module else [])])


def folder_of(module: str) -> str:
    """Return the second-level folder or root file that a module belongs to, such as ``flows.stages``."""
    package, *rest = module.split(".")
    return f"{package}.{rest[0] if rest else '__init__'}"


def folder_graph(graph: Graph) -> dict[str, set[str]]:
    """Return, for each second-level folder or root file, the others of its package that it imports."""
    folders: dict[str, set[str]] = {folder_of(module): set() for module in graph}
    for importer, imported, _ in _between_folders(graph):
        folders[importer].add(imported)
    return folders


def _between_folders(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Yield importing folder, imported folder and "module imports module", where both folders are of one package."""
    for module, targets in graph.items():
        for target in sorted(targets):
            importer, imported = folder_of(module), folder_of(target)
            if importer != imported and importer.split(".")[0] == imported.split(".")[0]:
                yield importer, imported, f"{module} imports {target}"


def circles(graph: Graph) -> list[list[str]]:
    """Return the strongly connected components of more than one node, sorted."""
    reached = {node: _reachable(node, graph) for node in graph}
    groups = {
        tuple(sorted(other for other in reached[node] if node in reached[other])) for node in graph
    }  # fmt: skip
    return [list(group) for group in sorted(groups) if len(group) > 1]


def _reachable(start: str, graph: Graph) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph[waiting.pop()]:
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return seen


def upward_imports(graph: Graph, order: Mapping[str, str] = ORDER) -> list[str]:
    """Return the imports from a folder to one that stands right of it in the order of its package."""
    ranks = _ranks(order)
    return [
        line
        for importer, imported, line in _between_folders(graph)
        if importer in ranks and imported in ranks and ranks[importer] < ranks[imported]
    ]


def without_place(graph: Graph, order: Mapping[str, str] = ORDER) -> list[str]:
    """Return the folders and root files of the ordered packages that the order does not name."""
    folders = {folder_of(module) for module in graph if module.split(".")[0] in order}
    return sorted(folders - _ranks(order).keys())


def _ranks(order: Mapping[str, str]) -> dict[str, int]:
    return {
        f"{package}.{name}": rank
        for package, names in order.items()
        for rank, name in enumerate([*names.split(), "__init__"])
    }
