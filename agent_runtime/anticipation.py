"""What a session's next turn will need, encoded or loaded before it is asked."""

import time
from collections.abc import Callable

from agent_runtime.match import Session
from agent_runtime.prefetch import Brought
from agent_runtime.turn import Mode, SessionReady
from prompts import Block

Ready = Callable[[SessionReady], None]


def bring_all(session: Session, ready: Ready, *, prefetches: bool) -> None:
    """Begin to bring all blocks that a session sees. `ready` comes from any thread, or now where nothing is brought."""
    match, begin = session.match, time.perf_counter()
    with match.lock:
        persona, private, history = session.own_blocks()
        state = match.seen_by(session.sight).blocks if match.frame is not None else ()
        own = (persona,) if persona else ()
        blocks: tuple[Block, ...] = (match.game.anchor, *state, *own, *private, *history)
    tokens = match.served.tokenizer.blocks(blocks, match.mode, match.game.name, session.name, match.cache_salt)

    def brought(count: Brought) -> None:
        ready(
            SessionReady(
                session=session.name,
                tokens=sum(len(block.ids) for block in tokens),
                encoded=count.encoded,
                loaded=count.loaded,
                shared=count.shared,
                ms=1e3 * (time.perf_counter() - begin),
            )
        )

    if prefetches:
        match.served.prefetcher.bring(match.name, match.mode, tokens, brought, salt=match.cache_salt)
    else:
        brought(Brought(0, 0, 0))


def bring_history(session: Session, newest: Block) -> None:
    """Begin to encode what became history; only in block modes is it a block of its own."""
    match = session.match
    if match.mode in (Mode.STAR, Mode.ANCHORED):
        blocks = match.served.tokenizer.blocks(
            (match.game.anchor, newest), match.mode, match.game.name, session.name, match.cache_salt
        )
        match.served.prefetcher.bring(match.name, match.mode, blocks, salt=match.cache_salt)
