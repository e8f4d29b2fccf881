"""Reference weighted sampling without replacement: the probability of every ordered draw by definition."""

from itertools import permutations


def order_probabilities(weights: list[float], n: int) -> dict[tuple[int, ...], float]:
    """Return the probability of each ordered draw of `n` rows, one after another among the rows that are left."""
    probabilities = {}
    for order in permutations(range(len(weights)), n):
        probability, left = 1.0, sum(weights)
        for row in order:
            probability *= weights[row] / left
            left -= weights[row]
        probabilities[order] = probability
    return probabilities
