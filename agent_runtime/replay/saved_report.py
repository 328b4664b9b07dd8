"""A report as `--out` or `--json` wrote it, read back."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json

from agent_runtime.replay.errors import NotAReport
from agent_runtime.replay.report import REPORT_FORMAT, REPORT_VERSION
from agent_runtime.replay.samples import TurnSample
from agent_runtime.turn import Json

_TURN = TypeAdapter(TurnSample)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class SavedMode(_Part):
    """What of a mode's figures is compared."""

    label: str
    turns: int
    ttft_ms: Mapping[str, float]
    engine_ms: Mapping[str, float]
    tokens_prompt: float | None
    tokens_computed: float | None
    tokens_cached: float | None
    forwards: float | None
    as_recorded: float | None
    same_best: float | None
    logprob_off_max: float | None
    total_variation_mean: float | None
    deadline_miss_rate: float | None


class _SavedBody(_Part):
    recording: str
    recording_digest: str
    game: str | None
    model: str
    modes: tuple[SavedMode, ...]
    digests: Mapping[str, str]
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    turns: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class SavedReport:
    """A report that was read. `turns` are None if it was written without; otherwise every lane's, by its label."""

    path: Path
    recording: str
    recording_digest: str
    game: str | None
    model: str
    modes: Mapping[str, SavedMode]
    digests: Mapping[str, str]
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    turns: Mapping[str, Sequence[TurnSample]] | None


def read_report(path: Path) -> SavedReport:
    """Read a report. Raises NotAReport."""
    try:
        value = from_json(path.read_bytes())
    except OSError as error:
        raise NotAReport(path, f"it cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise NotAReport(path, f"it is not JSON ({error})") from None
    if not isinstance(value, dict) or value.get("format") != REPORT_FORMAT:
        raise NotAReport(path, "it is JSON of another kind")
    if value.get("version") != REPORT_VERSION:
        raise NotAReport(path, f"it has version {value.get('version')!r} and this program compares {REPORT_VERSION}")
    try:
        body = _SavedBody.model_validate(value)
    except ValidationError as error:
        raise NotAReport(path, _first(error)) from None
    return SavedReport(
        path=path,
        recording=body.recording,
        recording_digest=body.recording_digest,
        game=body.game,
        model=body.model,
        modes={mode.label: mode for mode in body.modes},
        digests=body.digests,
        settings=body.settings,
        environment=body.environment,
        turns=None if body.turns is None else _lanes(path, body.turns),
    )


def _lanes(path: Path, turns: Sequence[Mapping[str, Json]]) -> Mapping[str, Sequence[TurnSample]]:
    lanes: defaultdict[str, list[TurnSample]] = defaultdict(list)
    for number, turn in enumerate(turns):
        try:
            lanes[str(turn.get("mode"))].append(_TURN.validate_python(dict(turn)))
        except ValidationError as error:
            raise NotAReport(path, f"of turn {number} (from 0), {_first(error)}") from None
    return lanes


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"its field {'.'.join(map(str, first['loc']))!r} is not as it should be ({first['msg']})"
