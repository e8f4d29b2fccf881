"""A corpus of 200 MB is read and cut into chunks in a process that grows by a small part of that."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROWS = 200_000
MEGABYTES = 200

# A process of its own: the peak of this one has been raised by other tests.
MEASURE = """
import resource, sys
from curate.storage.inputs.corpus_tables import canonical_chunks
from curate.storage.formats import read_source

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

small, large = sys.argv[1:]
assert sum(chunk.examples.num_rows for chunk in canonical_chunks(read_source(small), 1024)) == 2000
before = peak()
rows = sum(chunk.examples.num_rows for chunk in canonical_chunks(read_source(large), 1024))
print(rows, peak() - before)
"""

WRITE = """
import gzip, json, random, sys
import pyarrow as pa, pyarrow.parquet as pq

path, rows = sys.argv[1], int(sys.argv[2])
draw = random.Random(0)
text = " ".join("w%04d" % draw.randrange(5000) for n in range(200_000))

def texts():
    for n in range(rows):
        at = draw.randrange(len(text) - 1000)
        yield {"instruction": "say %d" % n, "input": "", "output": text[at : at + 1000]}

if path.endswith(".gz"):
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.writelines(json.dumps(row) + "\\n" for row in texts())
elif path.endswith(".json"):
    with open(path, "w") as file:
        file.write("[")
        file.writelines((", " if n else "") + json.dumps(row) for n, row in enumerate(texts()))
        file.write("]")
else:
    pq.write_table(pa.Table.from_pylist(list(texts())), path, row_group_size=rows)
"""


def run(script: str, *arguments: str) -> str:
    return subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".json", ".parquet"])
def test_memory_does_not_grow_with_the_corpus(suffix: str, tmp_path: Path) -> None:
    small, large = str(tmp_path / f"small{suffix}"), str(tmp_path / f"large{suffix}")
    run(WRITE, small, "2000")
    run(WRITE, large, str(ROWS))
    rows, grown = run(MEASURE, small, large).split()
    assert int(rows) == ROWS
    # 100 bytes for each example's digest (20 MB), and a chunk or two more.
    assert float(grown) < MEGABYTES / 3, f"grew by {grown} MB"
    print(f"{suffix}: grew by {grown} MB")
