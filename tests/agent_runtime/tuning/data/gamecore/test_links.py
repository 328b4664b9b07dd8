"""Links: many, other ones in every land, none that the held-out quests follow, and new ones that train has none of."""

from itertools import chain
from random import Random

import pytest

from agent_runtime.tuning.data.gamecore.land import make_land
from agent_runtime.tuning.data.gamecore.links import BY_LABEL, CORE, DRAWN, Drawn, links_of, record_called
from agent_runtime.tuning.data.words import LOOKS, ROLES, THINGS


def test_every_link_has_its_own_label_and_says_how_to_ask_there_and_back() -> None:
    assert len(BY_LABEL) == len(CORE) + len(DRAWN["known"]) + len(DRAWN["new"])
    assert len(DRAWN["known"]) > 1000 and len(DRAWN["new"]) > 300
    for link in chain(*DRAWN.values()):
        assert link.called and link.back and all(words.count("{}") == 1 for words in (*link.called, *link.back))
        assert all(words.startswith(("the ", "{}'s ")) for words in link.called)
        assert link.called[0].startswith("the ") and all(words.endswith("?") for words in link.back)


def test_none_is_worded_like_what_is_held_out() -> None:
    words = [
        word for link in BY_LABEL.values() for text in (link.label, *link.called, *link.back) for word in text.split()
    ]
    assert (
        not {"hero", "champion", "leads", "leader", "goal", "destination"} & {*words}
        and ("quest", "to") not in BY_LABEL
    )


def test_labels_of_new_links_are_words_that_nothing_else_is_made_of() -> None:
    function_words = {"to", "in", "by", "for", "up"}
    new, known = (
        {word for link in links for word in link.label.split()} - function_words
        for links in (DRAWN["new"], (*CORE, *DRAWN["known"]))
    )
    assert not new & (known | {*ROLES, *LOOKS, *THINGS})


@pytest.mark.parametrize(("links", "most"), [("known", 500), ("new", 250)])
def test_lands_have_some_of_them_and_others_than_the_next(links: Drawn, most: int) -> None:
    drawn = {link.label for link in DRAWN[links]}
    seen: set[tuple[str, str]] = set()
    for seed in range(80):
        land = make_land(Random(seed), "test", 60, 85, links=links)
        here = {
            (kind, label)
            for kind, records in land.records.items()
            for record in records
            for label in links_of(record, kind)
            if label in drawn and label in record.get("links", {})
        }
        assert 4 < len(here) <= 14
        seen |= here
    assert len(seen) > most and seen <= {(link.kind, link.label) for link in DRAWN[links]}


def test_a_land_knows_where_links_lead_and_which_can_be_gone_back() -> None:
    land = make_land(Random(5), "train", 200, 60)
    for link, ends in land.linked.items():
        assert all(links_of(record, link.kind)[link.label] == other["id"] for record, other in ends)
        assert {id(other) for _, other in ends} <= {id(other) for other in land.records[link.to]}
    for link, lonely in land.only_ones.items():
        for name, record in lonely:
            owners = [each for each in land.records[link.kind] if links_of(each, link.kind).get(link.label) == name]
            assert owners == [record]


def test_only_quests_are_called_by_what_they_are() -> None:
    assert (record_called("quest", "Ann"), record_called("unit", "Ann")) == ("quest Ann", "Ann")
