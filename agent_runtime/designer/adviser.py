"""All advice on a course, each piece tried on the very frames before it is given."""

from agent_runtime.designer import remarks
from agent_runtime.designer.advice import Advice, Advices
from agent_runtime.designer.course import Course
from agent_runtime.designer.cut_advice import group_advice, key_advice, split_advice
from agent_runtime.designer.live_advice import live_advice
from agent_runtime.designer.order_advice import order_advice
from agent_runtime.designer.tokens import TokenCounter
from agent_runtime.designer.trials import LEAST_CHANCES, Trials


def advise(course: Course, counter: TokenCounter) -> Advices:
    """Return what can be done better; takes as many runs over the frames as there are things to try."""
    trials = Trials(course, counter)
    pieces: list[Advice] = [
        *remarks.game_warnings(course),
        *remarks.unused(course),
        *remarks.beyond_the_context(course, counter),
    ]
    if len(course.frames) <= LEAST_CHANCES:
        pieces.append(remarks.too_few(course))
    else:
        tried = [
            *live_advice(trials),
            *key_advice(trials),
            *split_advice(trials),
            *group_advice(trials),
            *order_advice(trials),
        ]
        pieces += sorted(tried, key=lambda advice: -advice.saved)
    pieces += [
        *remarks.rest(course, trials.now_live),
        *remarks.split_by_max_tokens(course),
        *remarks.hidden_live(course),
        *remarks.state_warnings(course),
    ]
    return Advices(tuple(pieces), trials.before, trials.together())
