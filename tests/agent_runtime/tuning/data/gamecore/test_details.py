"""Details: a longer block says more about its land."""

from random import Random

import pytest

from agent_runtime.tuning.data.gamecore import GameCore
from agent_runtime.tuning.data.gamecore.land import make_land


@pytest.mark.smollm
@pytest.mark.parametrize("tokens", [33, 60, 85, 120])
def test_a_block_has_about_as_many_tokens_as_were_asked_for(tokens: int) -> None:
    from agent_runtime.designer.tokens import token_counter

    count = token_counter().count
    for manner, most in (("like", 0.1), ("unlike", 0.06)):  # names are of many kinds, some longer
        made = GameCore(0, "test", (200, 200), (tokens, tokens), names=manner).maker()  # type: ignore[arg-type]
        counts = [count(text) for number in range(3) for _, text in made.sample(number).blocks]
        assert abs(sum(counts) / len(counts) / tokens - 1) < most


@pytest.mark.parametrize("tokens", [30, 85, 120])
def test_every_name_in_a_detail_is_of_this_land_and_never_the_records_own(tokens: float) -> None:
    made = make_land(Random(4), "test", 120, tokens)
    days = []
    for record in made.by_id.values():
        for name in record.get("links", {}).values():
            assert name in made.by_id and name != record["id"]
        for note in record.get("notes", ()):
            capitalised = [word for word in note["event"].split() if word.istitle()]
            assert capitalised and all(word in made.by_id for word in capitalised)
            assert note["day"] < made.state["clock"]["day"]
        told = [note["day"] for note in record.get("notes", ())]
        assert told == sorted({*told})
        days += told
    assert bool(days) == (tokens > 30) or len(days) < 20
