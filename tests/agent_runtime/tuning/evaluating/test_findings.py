"""Means over clusters of values, with intervals."""

import math

from agent_runtime.tuning.evaluating.findings import Clusters


def clusters_of(*sums: tuple[float, int]) -> Clusters:
    clusters = Clusters()
    for total, count in sums:
        clusters.add(total, count)
    return clusters


def test_a_mean_is_over_values_and_empty_clusters_change_nothing() -> None:
    found = clusters_of((3.0, 4), (0.0, 0), (1.0, 1), (0.0, 3))
    assert (found.mean, found.num_values, found.num_clusters) == (0.5, 8, 3)


def test_few_clusters_have_no_interval_and_none_no_mean() -> None:
    few = clusters_of((50.0, 50)).in_points()
    assert (few.points, few.half_width, few.low, few.high) == (100.0, None, None, None)
    assert math.isnan(clusters_of().mean)
