"""What has to stand in a report of an evaluation, so that whoever reads it need not ask again."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

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
    blocks: Annotated[list[int], _TWO] | None
    cells: list[_Cell]


class _Mean(_Part):
    """An estimate: in points, or the mean of what is counted."""

    points: float | None = None
    mean: float | None = None
    interval: _Ends

    @model_validator(mode="after")
    def _has_a_value(self) -> Self:
        if (self.points, self.mean) == (None, None):
            raise ValueError("an estimate has neither points nor a mean")
        return self


class _Player(_Part):
    score: _Mean | None = None
    reward: _Mean | None = None


class _Game(_Part):
    game: str
    options: dict[str, Any]
    opponent: str | None
    wander: float
    matches: int
    players: dict[str, _Player]
    measure: Literal["score", "reward"] = "score"

    @model_validator(mode="after")
    def _all_are_measured(self) -> Self:
        for name, player in self.players.items():
            if getattr(player, self.measure) is None:
                raise ValueError(f"{name} has no {self.measure}")
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
