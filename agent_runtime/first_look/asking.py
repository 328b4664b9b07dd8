"""One turn asked of one state: what a game would do over the wire, without a game."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent_runtime.agent import PendingTurn
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.first_look.question import Question
from agent_runtime.match import Session
from agent_runtime.seat.opening import own_runtime
from agent_runtime.turn import MatchSpec, Mode, SessionSpec, TurnRequest, TurnResult
from prompts import Block

# The one match and the one session that there are.
_NAME = "look"
# Nobody else waits for this forward.
_MAX_ROWS = 4096


@dataclass(frozen=True, slots=True)
class ShownBlock:
    """A block as the model read it, chat markers included."""

    name: str
    role: str
    tokens: int
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came out of a turn, and the prompt that it came from; the observation is its last block."""

    question: Question
    model: str
    mode: Mode
    result: TurnResult
    blocks: tuple[ShownBlock, ...]
    warnings: tuple[str, ...]


def ask(question: Question, model: str | LoadedModel, pool_mib: int) -> Answer:
    """Load the model and play the turn, once and cold. Raises what loading and beginning a turn raise."""
    runtime = own_runtime(model, question.game.folder, pool_mib, max_rows=_MAX_ROWS)
    try:
        opened = runtime.open_match(MatchSpec(_NAME, question.game.name, mode=question.mode))
        runtime.put_state(_NAME, 0, state=question.state)
        runtime.open_session(SessionSpec(_NAME, _NAME, question.sight, question.persona))
        request = TurnRequest(_NAME, 0, 0, question.observation, question.actions, question.decide)
        turn = runtime.begin_turn(request)
        session = runtime.session(_NAME)
        blocks, warnings = _shown(turn, session), session.match.seen_by(session.sight).warnings
        return Answer(question, session.match.served.loaded.name, opened.mode, turn.run(), blocks, warnings)
    finally:
        runtime.close()


def _shown(turn: PendingTurn, session: Session) -> tuple[ShownBlock, ...]:
    match = session.match
    persona, private, history = session.own_blocks()
    own: tuple[Block, ...] = (() if persona is None else (persona,)) + private + history
    roles = {block.name: str(block.role) for block in (match.game.anchor, *match.seen_by(session.sight).blocks, *own)}
    read = match.served.loaded.text.tokenizer

    def text(ids: Sequence[int]) -> str:
        return str(read.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    blocks = [ShownBlock(each.name, roles[each.name], len(each.ids), text(each.ids)) for each in turn.prompt.blocks]
    observation = turn.prompt.observation
    return (*blocks, ShownBlock("observation", "observation", len(observation), text(observation)))
