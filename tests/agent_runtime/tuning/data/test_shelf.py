"""A shelf: as many records as are asked for, told as a whole, and the same things named in many of them."""

from random import Random

import pytest

from agent_runtime.tuning.data.shelf import FORMS, make_shelf, passage


@pytest.mark.parametrize("count", [10, 33, 60])
def test_there_are_so_many_records_each_with_three_relations_or_more(count: int) -> None:
    shelf = make_shelf(Random(count), "train", count)
    assert len(shelf.records) == count
    for record in shelf.records.values():
        assert {*record} - {"kind"} <= {*FORMS[record["kind"]]} and len(record) > 3
    named = {value for record in shelf.records.values() for value in record.values()}
    assert len(named & {*shelf.records}) > 2, "passages lead to others"


def test_a_passage_tells_every_relation_once_and_values_are_counted() -> None:
    shelf = make_shelf(Random(2), "test", 20)
    for name, record in shelf.records.items():
        relations = [relation for relation in record if relation != "kind"]
        assert passage(Random(1), name, record).count(name) == len(relations)
        assert all(shelf.values[relation][record[relation]] > 0 for relation in relations)
    assert sum(shelf.values["kind"].values()) == 20
