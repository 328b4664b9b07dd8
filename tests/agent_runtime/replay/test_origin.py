"""What a recording was made with against what plays it now: a sentence for each difference, and none without."""

from pathlib import Path
from typing import Any

import pytest

from agent_runtime.replay.origin import differences
from agent_runtime.replay.recording_format import Header, Part, Recording
from agent_runtime.turn import Mode

NOW = {
    "weights": "w",
    "adapter": "",
    "tokenizer": "t",
    "fingerprint": "f",
    "game/rules.md": "r",
    "game/unit.md": "u",
}


def told(*recorded: dict[str, Any] | None, mode: str = "star", now: dict[str, str] = NOW) -> str:
    path = Path("m.jsonl")
    headers = [Header("", "", "", match="m", game="duel", mode=mode, digests=each) for each in recorded]
    parts = tuple(Part(path, header, {}, None, 0, 0) for header in headers)
    return " ".join(differences(Recording(path, parts, ""), now, [Mode.STAR, Mode.FULL]))


def test_what_is_as_it_was_is_not_spoken_of() -> None:
    assert told(NOW, NOW) == ""


def test_a_recording_that_names_nothing_is_not_compared() -> None:
    assert told(None) == told({}) == told({"weights": "w"}) == ""


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"weights": "w2", "fingerprint": "f2"}, "recorded with other weights"),
        ({"tokenizer": "t2", "fingerprint": "f2"}, "recorded with another tokenizer"),
        ({"fingerprint": "f2"}, "keys and values of another kind"),
        (
            {"adapter": "a", "weights": "w2", "fingerprint": "f2"},
            "recorded with an adapter and is replayed without one",
        ),
        ({"game/unit.md": "u2"}, "changed since it was recorded: unit.md."),
        ({"game/map.md": "m"}, "changed since it was recorded: map.md (gone)."),
    ],
)
def test_each_difference_is_one_sentence(other: dict[str, str], sentence: str) -> None:
    text = told({**NOW, **other})
    assert sentence in text
    assert text.count("recorded") == 1


def test_a_file_that_is_new_is_named() -> None:
    recorded = {key: value for key, value in NOW.items() if key != "game/unit.md"}
    assert "changed since it was recorded: unit.md (new)." in told(recorded)


def test_an_adapter_that_is_there_now_or_is_another_is_said() -> None:
    now = {**NOW, "adapter": "a", "weights": "w2"}
    assert "recorded without an adapter" in told(NOW, now=now)
    assert "recorded with another adapter" in told({**NOW, "adapter": "b"}, now=now)


def test_one_part_that_differs_is_enough() -> None:
    assert "other weights" in told(NOW, {**NOW, "weights": "w2"})


def test_a_mode_that_is_not_replayed_is_said() -> None:
    assert "recorded in mode prefix, which is not among those replayed" in told(NOW, mode="prefix")
    assert told(NOW, mode="full") == ""


def test_texts_that_were_edited_while_they_were_recorded_are_told() -> None:
    path, later = Path("m.jsonl"), {**NOW, "game/rules.md": "r2"}
    header = Header("", "", "", match="m", game="duel", mode="star", digests=NOW)
    part = Part(path, header, {}, None, 0, 0, (later,))

    def said(now: dict[str, str]) -> str:
        return " ".join(differences(Recording(path, (part,), ""), now, [Mode.STAR]))

    assert said(later).startswith("The game's texts were edited while it was recorded: rules.md. Its turns were played")
    assert "changed since" not in said(later)
    assert "edited while it was recorded: rules.md" in said(NOW) and "since it was recorded: rules.md." in said(NOW)
    assert said({}).startswith("The game's texts were edited"), "over the wire nothing is known of the server's"
