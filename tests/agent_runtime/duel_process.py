"""A process that plays turns of the duel on a store and reports each on a line; the test kills it when it likes.

python -m tests.agent_runtime.duel_process MODEL GAMES STORE FIRST_TURN LAST_TURN
"""

import json
import sys
from concurrent.futures import Future
from pathlib import Path

from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.turn import MatchSpec, Mode, SessionReady, SessionSpec, TurnApplied
from tests.agent_runtime.worlds import GAME, play, runtime, state


def main() -> None:
    model, games, store, first, last = sys.argv[1:]
    loaded = load_model(ModelSpec(source=model), cache=Path(model).parent / "cache")
    with runtime(loaded, Path(games), store=Path(store)) as made:
        opened: Future[SessionReady] = Future()
        made.open_match(MatchSpec("m", GAME, mode=Mode.STAR))
        made.open_session(SessionSpec("s", "m"), opened.set_result)
        ready = opened.result(60)
        for turn in range(int(first), int(last) + 1):
            made.put_state("m", turn, state=state(u1=turn % 3))
            result = play(made, turn, turn)
            assert result.account is not None
            made.apply_turn(TurnApplied("s", turn, True))
            made.flush("m", 30)
            report = {
                "turn": turn,
                "logprobs": [score.logprob for score in result.scores],
                "ready": {"encoded": ready.encoded, "loaded": ready.loaded},
                "loaded": result.account.blocks_loaded,
                "encoded": [use.name for use in result.account.changed if use.how == "encoded"],
                "not_durable": list(result.account.not_durable),
            }
            print(json.dumps(report), flush=True)
        print("waiting", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
