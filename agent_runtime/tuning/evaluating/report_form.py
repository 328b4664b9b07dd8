"""What has to stand in a report of an evaluation, so that whoever reads it need not ask again."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent_runtime.tuning.evaluating.gains import BEST_CONSTANT, RANDOM

# How many of the things that are wrong are said.
_MOST_WRONG = 3
_TWO = Field(min_length=2, max_length=2)
_Ends = Annotated[list[float], _TWO] | Annotated[list[None], _TWO]
_Some = Annotated[int, Field(ge=1)]
_Name = Annotated[str, Field(min_length=1)]


def check_form(report: Any) -> None:
    """Look whether a report has all that one has, each of its kind. Raises ValueError that says what is wrong."""
    try:
        _Report.model_validate(report)
    except ValidationError as error:
        wrong = [_said(each["loc"], each["type"], each["msg"]) for each in error.errors()]
        raise ValueError("; ".join(dict.fromkeys(wrong[:_MOST_WRONG]))) from None


def _said(place: tuple[int | str, ...], kind: str, message: str) -> str:
    path = ".".join(map(str, place))
    if kind == "missing":
        return f"it lacks {path!r}"
    message = message.removeprefix("Value error, ")
    return f"{path}: {message}" if path else message


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Environment(_Part):
    model: _Name
    weights_digest: _Name


class _Share(_Part):
    points: float
    interval: _Ends
    items: _Some
    samples: _Some


class _Sums(_Part):
    items: str
    right: dict[str, str]
    chance: float
    decisions: int
    legal_mass: dict[str, float]


class _Cell(_Part):
    kind: str
    chance: float
    learned: bool
    right: Annotated[dict[str, _Share], Field(min_length=1)]
    cost: dict[str, _Share]
    sums: _Sums

    @model_validator(mode="after")
    def _cost_is_of_all_but_the_first(self) -> Self:
        if {*self.cost} != {*[*self.right][1:]}:
            raise ValueError(f"the cost of {self.kind} is not that of every condition but the first")
        return self


class _File(_Part):
    file: str
    digest: _Name
    generator: str
    split: str
    arguments: dict[str, Any]
    held_out: list[_Name] = []
    blocks: Annotated[list[int], _TWO] | None
    cells: list[_Cell]


class _Mean(_Part):
    mean: float
    interval: _Ends


class _Player(_Part):
    score: _Share
    reward: _Mean
    won: int
    drawn: int
    lost: int
    action: str = ""
    legal_mass: float = 0.0
    legal_anyway: float = 0.0


class _Game(_Part):
    game: str
    options: dict[str, Any]
    opponent: str | None
    wander: float | None
    seats: Annotated[list[str], Field(min_length=1)]
    matches: _Some
    players: dict[str, _Player]
    rewards: dict[str, str]
    measure: Literal["score", "reward"]

    @model_validator(mode="after")
    def _has_who_plays_without_a_model(self) -> Self:
        if lacking := {RANDOM, BEST_CONSTANT}.difference(self.players):
            raise ValueError(f"{self.game} lacks {', '.join(sorted(lacking))}")
        return self


class _Perplexity(_Part):
    mean: float | None
    interval: _Ends


class _Text(_Part):
    file: str
    conversations: int
    tokens: int
    perplexity: _Perplexity


class _Report(_Part):
    environment: _Environment
    conditions: list[str]
    files: list[_File]
    games: list[_Game] = []
    texts: list[_Text] = []

    @model_validator(mode="after")
    def _says_what_was_measured(self) -> Self:
        if not self.conditions:
            raise ValueError("it names no conditions")
        answered = {name for file in self.files for cell in file.cells for name in cell.right}
        if unnamed := sorted(answered.difference(self.conditions)):
            raise ValueError(f"conditions lacks {', '.join(unnamed)}, under which it has answers")
        return self
