"""Names that nobody else has. What players say is in `test_play`, and when in `test_play_timing`."""

import re
from string import ascii_letters

from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.replay.load.players import Names
from agent_runtime.server.client_messages import MatchOpen

LETTERS = "abcXYZ019_äßжλ字"
NAME = st.builds("{}{}".format, st.sampled_from(LETTERS), st.text(f"{LETTERS} .:@+-", max_size=127))


@given(name=NAME)
def test_every_name_that_the_protocol_allows_becomes_another_one_that_it_allows(name: str) -> None:
    own = Names("replay-0a1b2c3d.0.0").of(name)
    MatchOpen(match=own, game="camp")
    assert own != name and own.startswith("replay-0a1b2c3d.0.0.")


@given(name=NAME, other=NAME)
def test_two_names_stay_two_names_however_long(name: str, other: str) -> None:
    names = Names("replay-0a1b2c3d.12.3456")
    assert (names.of(name) == names.of(other)) == (name == other)


@given(name=st.text(ascii_letters, min_size=1, max_size=80))
def test_a_name_that_fits_can_still_be_read(name: str) -> None:
    assert re.fullmatch(rf"replay-0a1b2c3d\.0\.0\.{name}", Names("replay-0a1b2c3d.0.0").of(name))
