"""Measures the structure of a checkout: files, parameters, comments, imports, class names and leftover words.

    python benchmarks/structure.py                                     # this checkout
    python benchmarks/structure.py --json                              # every place behind the counts, as file:line
    python benchmarks/structure.py before=../before after=. --markdown # the table of docs/structure.md

Needs the standard library only; nothing of the checkouts is imported.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import tokenize
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from import_graph import PACKAGES, circles, folder_graph, import_graph, source_files, upward_imports, without_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MAX_PARAMETERS = 8
DIALECT = ("told", "found", "asked", "made", "hush", "hired", "hire", "lessons", "foretell", "foreseen", "noticed")
"""Words that named many different things in this code; an identifier that contains one needs a specific name."""
PRAGMA = re.compile(r"#\s*(noqa|type:|fmt:|ruff:|mypy:|pragma:|!)")
NAME_FIELDS = ("id", "attr", "arg", "name", "asname", "module")
"""Fields of syntax nodes that hold an identifier."""


def measure(root: Path) -> dict[str, Any]:
    """Return every figure of a checkout, JSON-able, with the places behind it.

    Raises
    ------
    ValueError
        When `root` holds none of the packages.
    """
    files = source_files(root)
    trees = {path.relative_to(root).as_posix(): ast.parse(path.read_text("utf-8")) for path in files.values()}
    graph, counts = import_graph(files), parameter_counts(trees)
    return {
        "root_files": {package: len(list((root / package).glob("*.py"))) for package in PACKAGES},
        "longest_parameter_list": max(counts.items(), key=lambda item: item[1], default=("", 0)),
        "too_many_parameters": {place: n for place, n in counts.items() if n > MAX_PARAMETERS},
        "comments_per_100_lines": comment_density(root, trees),
        "file_circles": circles(graph),
        "folder_circles": circles(folder_graph(graph)),
        "upward_imports": upward_imports(graph),
        "without_place": without_place(graph),
        "repeated_class_names": repeated_class_names(trees),
        "dialect": dialect_words(trees),
    }


def parameter_counts(trees: Mapping[str, ast.Module]) -> dict[str, int]:
    """Return the number of parameters of every function by ``file:line name``; ``self`` and ``cls`` do not count."""
    counts = {}
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                signature = node.args
                every = [*signature.posonlyargs, *signature.args, signature.vararg, *signature.kwonlyargs]
                names = [one.arg for one in (*every, signature.kwarg) if one is not None]
                counts[f"{file}:{node.lineno} {node.name}"] = len(names) - (names[:1] in (["self"], ["cls"]))
    return counts


def comment_density(root: Path, trees: Mapping[str, ast.Module]) -> dict[str, float]:
    """Return comment lines per 100 lines of code, for each package and for ``all``; pragmas do not count.

    A line of code holds a token that is neither a comment nor part of a docstring.
    """
    totals: dict[str, list[int]] = {name: [0, 0] for name in (*PACKAGES, "all")}
    for file, tree in trees.items():
        comments, code = _comment_and_code_lines(root / file, tree)
        for name in (file.split("/")[0], "all"):
            totals[name][0] += comments
            totals[name][1] += code
    return {name: round(100 * comments / max(1, code), 2) for name, (comments, code) in totals.items()}


def _comment_and_code_lines(path: Path, tree: ast.Module) -> tuple[int, int]:
    comments = 0
    code: set[int] = set()
    layout = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.ENCODING}
    with path.open("rb") as stream:
        for token in tokenize.tokenize(stream.readline):
            if token.type == tokenize.COMMENT:
                comments += not PRAGMA.match(token.string)
            elif token.type not in layout:
                code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        # Docstrings of fields are expressions of their own too, so this covers them.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            code.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return comments, len(code)


def repeated_class_names(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Return the places of every class name that is defined more than once."""
    places: dict[str, list[str]] = defaultdict(list)
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{file}:{node.lineno}")
    return {name: where for name, where in sorted(places.items()) if len(where) > 1}


def dialect_words(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Return the places of every identifier that contains a word of `DIALECT`, by word."""
    places: dict[str, list[str]] = {word: [] for word in DIALECT}
    for file, tree in trees.items():
        for node, name in _identifiers(tree):
            for word in set(re.split(r"[._]", name.lower())) & places.keys():
                places[word].append(f"{file}:{getattr(node, 'lineno', 1)} {name}")
    return places


def _identifiers(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        for field in NAME_FIELDS:
            if isinstance(name := getattr(node, field, None), str):
                yield node, name


def table(measured: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return the cells to print: a head, then one row for each figure with one column for each checkout."""
    columns = [_column(result) for result in measured.values()]
    return [["", *measured], *([label, *(column[label] for column in columns)] for label in columns[0])]


def _column(result: Mapping[str, Any]) -> dict[str, str]:
    place, longest = result["longest_parameter_list"]
    file, _, function = place.partition(" ")
    words = {word: len(places) for word, places in result["dialect"].items()}
    return {
        **{f"Python files at the root of `{name}`": str(n) for name, n in result["root_files"].items()},
        "longest parameter list": f"{longest}: `{function}` in {file.partition(':')[0]}",
        f"functions of more than {MAX_PARAMETERS} parameters": str(len(result["too_many_parameters"])),
        **{f"comments per 100 lines, {name}": f"{n:.1f}" for name, n in result["comments_per_100_lines"].items()},
        "circles of imports between files": str(len(result["file_circles"])),
        "circles of imports between second-level folders": str(len(result["folder_circles"])),
        "imports that point upwards": _upward(result),
        "class names defined more than once": str(len(result["repeated_class_names"])),
        "identifiers with a word of the old dialect": str(sum(words.values())),
        "of these": ", ".join(f"{word} {n}" for word, n in words.items() if n) or "none",
    }


def _upward(result: Mapping[str, Any]) -> str:
    if not result["without_place"]:
        return str(len(result["upward_imports"]))
    # Whatever the order, at least one import of a circle points upwards.
    return f"at least {len(result['folder_circles']) + len(result['upward_imports'])} (without an order)"


def as_text(rows: Sequence[Sequence[str]]) -> str:
    """Return the cells as aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return the cells as a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ["---"] * len(rows[0]), *rows[1:]))


def main(arguments: Iterable[str] | None = None) -> None:
    """Measure, then print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="*", metavar="[LABEL=]ROOT", help="checkouts to measure (default: this one)")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print JSON, with the places behind the counts")
    shape.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args(arguments and list(arguments))
    roots = options.roots or [f"now={Path(__file__).resolve().parent.parent}"]
    measured = {label or path: measure(Path(path)) for label, _, path in (root.rpartition("=") for root in roots)}
    if options.json:
        print(json.dumps(measured, indent=2))
    else:
        print((as_markdown if options.markdown else as_text)(table(measured)))


if __name__ == "__main__":
    main()
