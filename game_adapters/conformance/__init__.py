"""Whether a game keeps what the runtime and its players rely on: `hotseat games check`, and a test kit for one's own.

    def test_my_game_conforms() -> None:
        check_game("my_game:MyGame").raise_if_failed()

Random legal actions are played under a few seeds, then again, and everything is compared:

    folder    the game folder loads, gives no cause for warnings, and its rules take every part of the states
    turns     every turn can be put into words; the environment raises nothing and says no NaN
    mask      what is offered is what the mask allows, there is always something, and nothing was called illegal
    names     one for each action: unique, on one line, short
    state     describe returns JSON, a new object each time
    seeds     the same seed and the same actions give the same game
    looking   to look changes nothing, neither what is seen next nor how the game goes on
    sight     describe is describe_match without what sight excludes (games that share a state)
    hidden    what an agent cannot know does not change what it sees (games that can deal it anew: `vary_hidden`)
    text      the words change if and only if the state does
    segments  one thing keeps one block's name, and no two share one
    patch     a patch between two states does what the whole state does
    tokens    blocks and prompts fit the model's context (if that is known)

What could not be checked is said, never passed over.
"""

from game_adapters.conformance.counting import TokenCounts
from game_adapters.conformance.kit import CHECKS, check_game
from game_adapters.conformance.report import Finding, Report

__all__ = ["CHECKS", "Finding", "Report", "TokenCounts", "check_game"]
