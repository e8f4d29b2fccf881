"""Weighted drawing without replacement, by its definition: the chance of every order in which rows can be drawn."""

from itertools import permutations


def chances_of_each_order(weights: list[float], n: int) -> dict[tuple[int, ...], float]:
    """Return the chance of each ordered draw of `n` rows, one after another among the rows that are left."""
    chances = {}
    for order in permutations(range(len(weights)), n):
        chance, left = 1.0, sum(weights)
        for row in order:
            chance *= weights[row] / left
            left -= weights[row]
        chances[order] = chance
    return chances
