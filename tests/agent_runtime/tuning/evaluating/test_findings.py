"""Means over clusters of values, with intervals."""

import math

from agent_runtime.tuning.evaluating.findings import Clusters, within_bounds


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


def test_intervals_end_where_no_mean_can_be() -> None:
    sums = [(1.0, 1)] * 7 + [(0.0, 1)]
    share, missed = clusters_of(*sums).in_points(), clusters_of(*((1 - total, 1) for total, _ in sums)).in_points()
    assert share.half_width is not None and share.points + share.half_width > 100
    assert (share.high, missed.low) == (100.0, 0.0) and share.low is not None and 0 < share.low < 87.5
    less = clusters_of(*((-total, count) for total, count in sums)).in_points(is_difference=True)
    assert less.low == -100.0 and less.high == -share.low
    assert clusters_of(*sums).in_points(is_difference=True).report() == share.report()


def test_intervals_of_reports_of_before_are_ended_too() -> None:
    share = {"points": 81.25, "interval": [59.62, 102.88], "items": 16, "samples": 8}
    assert within_bounds(share) == {**share, "interval": [59.62, 100.0]}
    less = {"points": -90.0, "interval": [-130.0, -50.0]}
    assert within_bounds(less, is_difference=True)["interval"] == [-100.0, -50.0]
    assert within_bounds({"points": 1.0, "interval": [None, None]})["interval"] == [None, None]
