"""What a recording was made with against what plays it now, each difference in a sentence."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from agent_runtime.replay.errors import LacksGame
from agent_runtime.replay.recording_format import Header, Recording
from agent_runtime.turn import Mode

GAME_TEXT = "game/"


def check_game(recording: Recording, known: Iterable[str]) -> None:
    """Raise LacksGame for the first game of a recording that is not among those `known`."""
    there = tuple(sorted(known))
    for game in dict.fromkeys(part.header.game for part in recording.parts):
        if game is not None and game not in there:
            raise LacksGame(recording.path, game, there)


def differences(recording: Recording, digests: Mapping[str, str], modes: Iterable[Mode]) -> Iterator[str]:
    """Yield in sentences what the recording's headers say otherwise than `digests` and `modes` of the replay.

    A recording that does not name something, as one of an earlier version, is not compared in it.
    """
    named = [part.header.digests or {} for part in recording.parts if part.header.game is not None]
    recorded = {key: {each[key] for each in named if key in each} for key in (*_SENTENCES, "adapter")}
    other = {key for key, values in recorded.items() if key in digests and values - {digests[key]}}
    if "adapter" in other:
        yield _on_adapter(recorded["adapter"], digests["adapter"])
        other -= {"weights", "fingerprint"}  # the adapter is part of them
    if other & {"weights", "tokenizer"}:
        other.discard("fingerprint")  # they are part of it
    for key, sentence in _SENTENCES.items():
        if key in other:
            yield sentence
    versions = [[part.header.digests or {}, *part.later_digests] for part in recording.parts]
    edited = {name for each in versions for pair in pairwise(each) for name in _changed_texts(*pair)}
    if edited:
        yield (
            f"The game's texts were edited while it was recorded: {', '.join(sorted(edited))}. Its turns were played "
            "under several versions of them, and are all replayed under one."
        )
    changed = {name for each in versions for name in _changed_texts(each[-1], digests)}
    if changed:
        yield f"The game's texts have changed since it was recorded: {', '.join(sorted(changed))}."
    played = {str(mode) for mode in modes}
    recorded_in = list(dict.fromkeys(_modes(part.header for part in recording.parts)))
    if recorded_in and not played & set(recorded_in):
        yield (
            f"It was recorded in mode {' and '.join(recorded_in)}, which is not among those replayed: another mode may "
            "choose other actions."
        )


def _modes(headers: Iterable[Header]) -> Iterator[str]:
    return (header.mode for header in headers if header.mode is not None)


_SENTENCES: Mapping[str, str] = {
    "weights": "It was recorded with other weights: the actions need not be those of the recording.",
    "tokenizer": "It was recorded with another tokenizer: the prompts are cut into other tokens.",
    "fingerprint": "It was recorded with keys and values of another kind: answers may differ a little.",
}


def _on_adapter(recorded: set[str], now: str) -> str:
    if not now:
        return "It was recorded with an adapter and is replayed without one: name it with --adapter."
    if recorded == {""}:
        return (
            "It was recorded without an adapter and is replayed with one: the actions need not be those "
            "recorded. --adapter none leaves it out."
        )
    return "It was recorded with another adapter: the actions need not be those of the recording."


def _changed_texts(recorded: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Yield the files of the game's folder that are not as they were, if the recording knows them at all."""
    then, today = (
        {key.removeprefix(GAME_TEXT): value for key, value in each.items() if key.startswith(GAME_TEXT)}
        for each in (recorded, now)
    )
    if not then or not today:
        return
    for name in then.keys() | today.keys():
        if name not in then:
            yield f"{name} (new)"
        elif name not in today:
            yield f"{name} (gone)"
        elif then[name] != today[name]:
            yield name
