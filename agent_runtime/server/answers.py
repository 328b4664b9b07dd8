"""The runtime's answers as messages."""

from collections.abc import Mapping

from agent_runtime import turn
from agent_runtime.errors import HotseatError
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.client_messages import MessageId
from agent_runtime.server.runtime import Answer, Ask, CloseMatch, CloseSession, PutBlock
from agent_runtime.turn import Json


def answer_message(ask: Ask, answer: Answer, reply_to: MessageId | None) -> s2c.ServerMessage | None:
    """What a question to the runtime is answered with on the wire; None when only its `ready` is an answer."""
    match ask, answer:
        case _, turn.MatchOpened():
            return s2c.MatchOpened(
                reply_to=reply_to,
                match=answer.match,
                game=answer.game,
                model=answer.model,
                block_tuned=answer.block_tuned,
                mode=answer.mode,
                resumed=answer.resumed,
                frame=answer.frame,
            )
        case _, turn.FrameChange():
            return s2c.MatchApplied(
                reply_to=reply_to,
                match=answer.match,
                frame=answer.frame,
                added=answer.added,
                replaced=answer.replaced,
                removed=answer.removed,
                warnings=answer.warnings,
            )
        case _, turn.SessionOpened():
            return s2c.SessionOpened(
                reply_to=reply_to,
                session=answer.session,
                match=answer.match,
                resumed=answer.resumed,
                last_turn_id=answer.last_turn_id,
            )
        case _, turn.FlushReport():
            return s2c.Flushed(
                reply_to=reply_to, match=answer.match, blocks=answer.blocks, bytes=answer.bytes, ms=answer.ms
            )
        case turn.TurnApplied(), _:
            return s2c.TurnNoted(reply_to=reply_to, session=ask.session, turn_id=ask.turn_id, what="applied")
        case CloseSession(), _:
            return s2c.SessionClosed(reply_to=reply_to, session=ask.session)
        case CloseMatch(), _:
            return s2c.MatchClosed(reply_to=reply_to, match=ask.match)
    return None


def ready_message(ask: Ask, ready: turn.SessionReady, reply_to: MessageId | None) -> s2c.ServerMessage:
    """The blocks that a session sees are encoded: after it was opened, or after one was put."""
    if isinstance(ask, PutBlock):
        return s2c.BlockReady(
            reply_to=reply_to,
            session=ready.session,
            name=ask.name,
            tokens=ready.tokens,
            encoded=ready.encoded,
            loaded=ready.loaded,
            shared=ready.shared,
            ms=ready.ms,
        )
    return s2c.SessionReady(
        reply_to=reply_to,
        session=ready.session,
        tokens=ready.tokens,
        encoded=ready.encoded,
        loaded=ready.loaded,
        shared=ready.shared,
        ms=ready.ms,
    )


def result_message(result: turn.TurnResult, reply_to: MessageId | None) -> s2c.TurnResult:
    """A turn's result."""
    return s2c.TurnResult(
        reply_to=reply_to,
        session=result.session,
        turn_id=result.turn_id,
        outcome=result.outcome,
        action=result.action,
        scores=result.scores,
        legal_mass=result.legal_mass,
        think=result.think,
        say=result.say,
        message=result.message,
        late=result.late or None,
        account=result.account,
    )


def error_message(error: HotseatError, refused: Mapping[str, Json]) -> s2c.Error:
    """A refusal, with the error's own sentence. It repeats the names in the refused message, where they are names."""
    message_id, turn_id = refused.get("id"), refused.get("turn_id")
    match, session = refused.get("match"), refused.get("session")
    return s2c.Error(
        reply_to=message_id if type(message_id) is int or _is_short_text(message_id) else None,
        code=error.code,
        message=str(error),
        retryable=error.retryable,
        match=match if _is_short_text(match) else None,
        session=session if _is_short_text(session) else None,
        turn_id=turn_id if type(turn_id) is int else None,
    )


def _is_short_text(value: Json) -> bool:
    return isinstance(value, str) and len(value) <= 128


def names_in(ask: Ask) -> dict[str, Json]:
    """The match, session and turn that a question names, for its answers to repeat."""
    return {name: getattr(ask, name) for name in ("match", "session", "turn_id") if hasattr(ask, name)}
