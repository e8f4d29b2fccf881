import json

import pytest

from curate.schemas.corpus import Example, Quarantined
from curate.schemas.errors import InputError
from curate.storage.formats.reading import read_source
from curate.storage.formats.rows import RowProblem
from curate.storage.formats.shapes.texts import label


@pytest.mark.parametrize(
    ("value", "name"),
    [(" maths ", "maths"), (3, "3"), (3.0, "3"), (0.5, "0.5"), (True, "True"), (None, ""), (float("nan"), "")],
)
def test_a_label_is_a_text_a_number_or_a_bool(value, name):
    assert label(value, "group") == name


@pytest.mark.parametrize("value", [["maths"], {"subject": "maths"}, "a\0b"])
def test_anything_else_is_not_a_label(value):
    with pytest.raises(RowProblem):
        label(value, "group")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_mapped_column_becomes_the_group(tmp_path):
    subjects: list[object] = ["law", None, []]
    rows = [{"instruction": f"say {i}", "output": "yes", "subject": value} for i, value in enumerate(subjects)]
    path = write(tmp_path / "rows.jsonl", rows)
    read = list(read_source(path, column_map={"group": "subject"}))
    assert [one.group for one in read if isinstance(one, Example)] == ["law", None]
    assert [one.column for one in read if isinstance(one, Quarantined)] == ["subject"]
    assert {one.group for one in read_source(path) if isinstance(one, Example)} == {None}
    with pytest.raises(InputError, match="no column 'topic', which --map group=topic names"):
        list(read_source(path, column_map={"group": "topic"}))


def test_a_group_does_not_change_the_example(tmp_path):
    rows = [
        {"instruction": "say", "output": "yes", "group": "a"},
        {"instruction": "say", "output": "yes", "group": "b"},
    ]
    first, second = (
        one
        for one in read_source(write(tmp_path / "rows.jsonl", rows), column_map={"group": "group"})
        if isinstance(one, Example)
    )
    assert (first.id, first.group, second.group) == (second.id, "a", "b")


def test_a_column_that_nobody_mapped_is_not_read(tmp_path):
    rows = [{"instruction": "say", "output": "yes", "group": ["a", "list"]}]
    (read,) = read_source(write(tmp_path / "rows.jsonl", rows))
    assert isinstance(read, Example)
    assert read.group is None
