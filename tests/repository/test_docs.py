"""The documentation is correct: links resolve, blocks parse, commands exist, and what can run is run."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import warehouses
import yaml
from benchmark_scripts import load_script
from documents import ROOT, Block, blocks

from curate.flows import demo
from curate.flows.cli.reference_page import commands_markdown
from curate.storage.catalog import queries
from curate.storage.catalog.publish import publish
from curate.storage.warehouse.warehouse import Warehouse

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md")) + [ROOT / "CONTRIBUTING.md"]
EXECUTED = ("getting-started.md", "concepts.md", "report.md", "exports.md", "faq.md")
"""Pages whose commands are run in order in a folder with models and rows; deploy.md has a test of its own."""
LANGUAGES = {"sh", "sql", "python", "json", "yaml", "toml", "text"}
ROWS = 300

every_block = pytest.mark.parametrize(
    "block", [block for page in PAGES for block in blocks(page)], ids=lambda block: block.where
)


def links(text: str) -> list[str]:
    """Return the targets of links outside of code."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", prose)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+\.(?:py|md|js))`", page.read_text("utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_index_names_every_page() -> None:
    named = {Path(link).name for link in links((DOCS / "README.md").read_text())}
    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} <= named


def test_the_layout_is_described_in_its_order() -> None:
    text = (DOCS / "architecture.md").read_text()
    for package, order in load_script("import_graph").ORDER.items():
        table = re.search(rf"^\| `{package}/` \| contents \|\n((?:\|.*\n)+)", text, re.MULTILINE)
        assert table is not None, package
        named = [
            name.removesuffix("/").removesuffix(".py") for name in re.findall(r"^\| `([^`]+)`", table[1], re.MULTILINE)
        ]
        places = [order.split().index(name) for name in named if name not in ("sql", "__init__")]
        assert places == sorted(places), package
        folders = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert folders <= set(named), package


def test_commands_are_those_of_the_command_line() -> None:
    page = (DOCS / "commands.md").read_text("utf-8")
    assert page == commands_markdown(), "python -m curate.flows.cli.reference_page > docs/commands.md"


def commands(text: str) -> list[list[str]]:
    """Return the words of every `curate` command in a text, lines that end in a backslash joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = re.findall(r"^[ ]*(curate [^\n]*)$", joined, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def unknown(words: list[str]) -> list[str]:
    """Return the parts of a command that the command line does not know: the verb, or options."""
    from typer.main import get_command

    from curate.flows.cli.main import load_commands

    verb: Any = get_command(load_commands())
    rest = words[1:]
    while hasattr(verb, "commands") and rest:
        name, *rest = rest
        if name not in verb.commands:
            return [name]
        verb = verb.commands[name]
    known = {flag for one in verb.params for flag in (*one.opts, *one.secondary_opts)} | {"--help", "-h", "--debug"}
    return [word for word in rest if word.startswith("-") and not word[1:2].isdigit() and word not in known]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    indented = "\n".join(line for line in text.splitlines() if line.startswith("    "))
    fenced = "\n".join(block.text for block in blocks(page) if block.language == "sh")
    typed = commands(indented) + commands(fenced)
    assert {" ".join(words): missing for words in typed if (missing := unknown(words))} == {}


@every_block
def test_blocks_parse(block: Block) -> None:
    assert block.language in LANGUAGES, f"{block.where}: name the language of the block"
    if block.language == "json":
        for line in block.text.splitlines() if block.page == "inputs.md" else [block.text]:
            json.loads(line)
    elif block.language == "yaml":
        assert yaml.safe_load(block.text)
    elif block.language == "toml":
        assert tomllib.loads(block.text)
    elif block.language == "python":
        compile(block.text, block.where, "exec")
    elif block.language == "sh":
        result = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
        assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse = Warehouse(tmp_path_factory.mktemp("catalog"))
    warehouses.fill(warehouse)
    publish(warehouse)
    return warehouse.root


@pytest.mark.parametrize(
    "block", [one for page in PAGES for one in blocks(page) if one.language == "sql"], ids=lambda block: block.where
)
def test_queries_have_an_answer(block: Block, catalog: Path) -> None:
    with queries.open_catalog(catalog) as con:
        assert queries.run_sql(con, block.text).num_rows


@pytest.fixture(scope="module")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the demo's model, a pruned copy, some rows, and a selection made from them."""
    folder = tmp_path_factory.mktemp("prepared")
    with gzip.open(demo.pool_path(), "rt") as pool:
        (folder / "data.jsonl").write_text("".join(line for line, _ in zip(pool, range(ROWS), strict=False)))
    (folder / "models").mkdir()
    (folder / "models" / "original").symlink_to(demo.model_path())
    run_shell("curate compress models/original --method magnitude --sparsity 0.6 --out models/compressed", folder)
    settings = 'corpus = ["data.jsonl"]\noriginal = "models/original"\ncompressed = "models/compressed"\n'
    (folder / "curate.toml").write_text(settings)
    run_shell("curate select --method paser --budget 0.1", folder)
    return folder


def run_shell(text: str, folder: Path) -> str:
    """Run shell commands in a folder, with `curate` on the path."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        ["bash", "-euc", text], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, f"{text}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture
def folder(prepared_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the prepared folder, with its catalog rebuilt for the new place."""
    folder = shutil.copytree(prepared_folder, tmp_path / "folder", symlinks=True)
    publish(Warehouse(folder / "warehouse"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", EXECUTED)
def test_the_commands_of_a_page_run(page: str, folder: Path) -> None:
    if page == "getting-started.md":  # this page begins with nothing but a model and rows
        for name in ("models/compressed", "warehouse"):
            shutil.rmtree(folder / name)
        (folder / "curate.toml").unlink()
    ran = 0
    for block in blocks(DOCS / page):
        text = block.text
        if block.file:
            (folder / block.file).write_text(text)
        elif block.language == "sh" and "parsed" not in block.words:
            if "example" in block.words:
                first = run_shell('curate sql --csv "SELECT example_id FROM ledger WHERE kept LIMIT 1"', folder)
                text = text.replace("EXAMPLE_ID", first.split()[1].strip('"'))
            run_shell(text, folder)
        elif block.language == "python":
            (folder / "block.py").write_text(text)
            run_shell(f"{shlex.quote(sys.executable)} block.py", folder)
        elif block.language == "sql":
            run_shell(f"curate sql {shlex.quote(text)}", folder)
        else:
            continue
        ran += 1
    assert ran
