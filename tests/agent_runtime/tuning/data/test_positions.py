"""A position is of one split, whoever looks at it."""

from collections import Counter

from agent_runtime.tuning.data.positions import SHARES, split_of
from agent_runtime.tuning.samples import SPLITS
from prompts.block import Block, Lifetime, Prompt, Role

ANCHOR = Block("rules", "Play well.\n", Role.ANCHOR, Lifetime.GAME)


def prompt(*squares: str, observation: str = "Which?\n", more: tuple[Block, ...] = ()) -> Prompt:
    blocks = [Block(f"square/{i}", f"{text}\n", Role.STATE, Lifetime.MATCH) for i, text in enumerate(squares)]
    return Prompt(ANCHOR, (*blocks, *more), observation)


def test_of_a_hundred_positions_so_many_are_of_each_split() -> None:
    counts = Counter(split_of(prompt(str(number))) for number in range(20_000))
    assert {*counts} == {*SPLITS} and sum(SHARES.values()) == 100
    for split, share in SHARES.items():
        assert abs(counts[split] / 200 - share) < 1


def test_state_and_observation_say_which_and_persona_and_history_do_not() -> None:
    others = (
        Block("persona/rash", "You are rash.\n", Role.PERSONA, Lifetime.SESSION),
        Block("history/3", "You passed.\n", Role.HISTORY, Lifetime.SESSION),
    )
    for number in range(200):
        assert split_of(prompt(str(number), more=others)) == split_of(prompt(str(number)))
    assert len({split_of(prompt("a", observation=f"{number}\n")) for number in range(200)}) == 3


def test_a_position_stays_in_its_split_from_version_to_version() -> None:
    found = {split: next(n for n in range(999) if split_of(prompt(str(n), "free")) == split) for split in SPLITS}
    assert found == {"train": 0, "validation": 6, "test": 47}
