"""Eight readers query while runs publish: no reader error, no failed publish, every result from a complete catalog."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attempts
import pytest
from corpora import write_corpus
from fork_server import CONTEXT

from curate.schemas.errors import CurateError
from curate.storage.catalog import queries

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event
    from pathlib import Path

pytestmark = pytest.mark.slow

READERS, PUBLISHES, SECONDS, ROWS = 8, 20, 30.0, 200

WHOLE = """
SELECT selections.selection_id, n_kept, n_examples, count(*) AS rows, count(*) FILTER (WHERE kept) AS kept,
    count(DISTINCT ledger.example_id) AS examples, count(lineage.input_id) AS inputs
FROM selections
LEFT JOIN ledger USING (selection_id)
LEFT JOIN lineage ON lineage.artefact_id = selections.selection_id AND lineage.role = 'corpus'
GROUP BY ALL
"""
"""One row per selection of the catalog; in a complete catalog, its ledger exists and agrees with it."""


def _read(root: Path, over: Event, heard: Queue[tuple[str, Any]]) -> None:
    """Query until the end, each time in a new session, and report the number of results or the error."""
    answers, most = 0, 0
    try:
        while not over.is_set():
            with queries.open_catalog(root) as con:
                states = queries.run_sql(con, WHOLE).to_pylist()
                for name in ("reasons", "kept_by_source", "runs"):
                    assert queries.run_named_query(con, name).num_rows
                again = queries.run_sql(con, WHOLE).num_rows
            assert len(states) == again, "a session saw two states"
            assert len(states) >= most, "a later session saw an older state"
            for one in states:
                assert one["kept"] == one["n_kept"], one
                assert one["rows"] == one["examples"] == one["n_examples"] == one["inputs"] == ROWS, one
            answers, most = answers + 6, len(states)
    except (CurateError, AssertionError) as error:
        heard.put(("error", f"{type(error).__name__}: {error}"))
    else:
        heard.put(("answers", answers))


def _select(corpus: Path, root: Path, seed: int) -> int:
    fixed = ["--method", "uniform", "--corpus", str(corpus), "--warehouse", str(root)]
    return attempts.run(["select", *fixed, "--seed", str(seed), "--budget", str(10 + seed)])


def test_readers_and_publishers_do_not_disturb_each_other(tmp_path: Path) -> None:
    corpus, root = write_corpus(tmp_path / "corpus.jsonl", rows=ROWS), tmp_path / "w"
    assert _select(corpus, root, 0) == 0
    heard: Queue[tuple[str, Any]] = CONTEXT.Queue()
    over = CONTEXT.Event()
    readers = [CONTEXT.Process(target=_read, args=(root, over, heard)) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    began = time.monotonic()
    codes = [_select(corpus, root, seed) for seed in range(1, PUBLISHES + 1)]
    time.sleep(max(0.0, SECONDS - (time.monotonic() - began)))
    over.set()
    answer = [heard.get(timeout=300) for _ in readers]
    for reader in readers:
        reader.join(300)
        assert reader.exitcode == 0
    assert codes == [0] * PUBLISHES, "a run could not publish"
    assert [what for kind, what in answer if kind == "error"] == []
    answers = [what for _, what in answer]
    print(f"{sum(answers)} answers to {READERS} readers during {PUBLISHES} publishes")
    assert min(answers) >= 6, "a reader never got an answer"
    with queries.open_catalog(root) as con:
        assert queries.run_sql(con, WHOLE).num_rows == PUBLISHES + 1
