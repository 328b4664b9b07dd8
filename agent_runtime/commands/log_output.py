"""What `hotseat log` prints."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from agent_runtime.commands.options import printable, say
from agent_runtime.first_look.errors import NoRecordings
from agent_runtime.first_look.turn_log import LoggedTurn, cuts_of, find_recordings, read_match, turns_of
from agent_runtime.replay.errors import RecordingError

_COLUMNS = ("match", "session", "turn", "frame", "action", "p", "outcome", "ttft ms", "computed", "prompt")
_WIDTHS = (16, 16, 6, 7, 28, 6, 11, 8, 8, 7)
_IS_TEXT = (True, True, False, False, True, False, True, False, False, False)


def print_log(path: Path, session: str | None, verify: bool, as_json: bool) -> bool:
    """Print the turns of a recording or of a folder of them, each as it is read.

    Returns whether all could be read: in a folder one that cannot be is told of, and the others are listed.
    """
    files = find_recordings(path)
    outcomes: Counter[str] = Counter()
    broken = 0
    for file in files:
        try:
            recording = read_match(file, verify=verify)
        except (RecordingError, NoRecordings) as error:
            if path.is_file():
                raise
            broken += 1
            say(f"hotseat: {error}")
            continue
        for turn in _of_session(turns_of(recording), session):
            if not outcomes and not as_json:
                print(_row(_COLUMNS))
            outcomes[turn.outcome] += 1
            print(json.dumps({"file": str(file), **asdict(turn)}) if as_json else printable(_line(turn)))
        for sentence in cuts_of(recording):
            say(f"hotseat: {sentence}")
    if not as_json:
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        num_read = len(files) - broken
        print(f"{outcomes.total()} turns in {num_read} recording{'s' * (num_read != 1)}{': ' * bool(told)}{told}")
    return not broken


def _of_session(turns: Iterator[LoggedTurn], session: str | None) -> Iterator[LoggedTurn]:
    return (turn for turn in turns if session is None or turn.session == session)


def _line(turn: LoggedTurn) -> str:
    return _row(
        (
            turn.match or "",
            turn.session,
            str(turn.turn_id),
            _figure(turn.frame),
            turn.action or "",
            "" if turn.p is None else f"{turn.p:.3f}",
            f"{turn.outcome}{' (late)' if turn.late else ''}",
            "" if turn.ttft_ms is None else f"{turn.ttft_ms:.1f}",
            _figure(turn.tokens_computed),
            _figure(turn.tokens_prompt),
        )
    ) + ("" if turn.message is None else f"  {turn.message}")


def _figure(number: int | None) -> str:
    return "" if number is None else str(number)


def _row(cells: tuple[str, ...]) -> str:
    padded = (
        (f"{_short(cell, width):<{width}}" if is_text else f"{cell:>{width}}")
        for cell, width, is_text in zip(cells, _WIDTHS, _IS_TEXT, strict=True)
    )
    return "  ".join(padded).rstrip()


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 2]}.."
