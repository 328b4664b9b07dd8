"""What `hotseat turn` prints."""

import json

from agent_runtime.adapter_choice import Adapter
from agent_runtime.commands.options import printable
from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.first_look.answer import answer_json, answer_lines
from agent_runtime.first_look.asking import ask
from agent_runtime.first_look.question import Question
from agent_runtime.turn import Outcome


def print_turn(question: Question, model: str, adapter: Adapter, pool_mib: int, texts: bool, as_json: bool) -> bool:
    """Play the turn and print it; return whether it came to an action. Raises what loading and beginning it raise."""
    answer = ask(question, load_model(ModelSpec(source=model, adapter=adapter)), pool_mib)
    if as_json:
        print(json.dumps(answer_json(answer), indent=1))
    else:
        for line in answer_lines(answer, texts=texts, blocks_mark=_mark()):
            print(printable(line))
    return answer.result.outcome is Outcome.OK


def _mark() -> str:
    return "█" if printable("█") == "█" else "#"
