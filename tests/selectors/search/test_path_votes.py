"""What searches share: the shortest right path, votes, random paths, and how a path is written."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from curate.selectors.search.path_votes import frequent_paths, path_text, random_paths, shortest_right
from curate.selectors.search.paths import RatedPath

FULL, WITHOUT_1, ENDS, ONE = (0, 1, 2), (0, 2), (0, 1), (2,)
FIRST = [RatedPath(FULL, 0.6, True, 1), RatedPath(WITHOUT_1, 0.7, True, 1), RatedPath(ENDS, 0.9, True, 1)]
SECOND = [RatedPath(FULL, 0.6, True, 1), RatedPath(WITHOUT_1, 0.7, True, 1), RatedPath(ONE, 0.1, False, 1)]
THIRD = [RatedPath(FULL, 0.2, False, 1), RatedPath(ENDS, 0.3, True, 1), RatedPath(ONE, 0.3, False, 1)]
FOURTH = [RatedPath(FULL, 0.2, False, 1)]


def test_the_shortest_right_path_and_of_two_the_likelier() -> None:
    assert shortest_right(FIRST) == ENDS
    assert shortest_right(SECOND) == WITHOUT_1
    assert shortest_right(FOURTH) is None


def test_the_most_frequent_paths_leave_out_all_layers_and_wrong_ones() -> None:
    # Two votes each; the second has more reward, and the third was never right.
    assert frequent_paths([FIRST, SECOND, THIRD, FOURTH], 3, 5) == [(WITHOUT_1, 2), (ENDS, 2)]
    assert frequent_paths([FIRST, SECOND, THIRD], 3, 1) == [(WITHOUT_1, 2)]
    assert frequent_paths([FOURTH], 3, 5) == []


def test_random_paths_are_uniform_over_those_of_the_length() -> None:
    drawn = random_paths(5, 3, 3000, 0)
    paths = list(combinations(range(5), 3))
    counts = np.array([drawn.count(path) for path in paths])
    assert counts.sum() == 3000
    assert np.abs(counts - 300).max() < 5 * np.sqrt(300)
    assert random_paths(5, 3, 4, 1) == random_paths(5, 3, 4, 1)


def test_a_path_is_written_in_runs() -> None:
    assert path_text((0, 1, 2, 5, 7, 8)) == "0-2,5,7-8"
    assert path_text((3,)) == "3"
