"""`Seat`: an agent for PettingZoo environments, in this process: no server, no socket.

    env = make_env("camp", seed=7)
    with Seat("camp", seed=7) as seat:
        for agent in env.agent_iter():
            env.step(seat.act(env, agent))

A seat plays any number of environments of one game. It keeps no environment alive and steps none: it looks at the one
it is given, asks the model, and answers with a number. What an agent did is taken for done when the agent is asked
again, with the reward it got in the meantime; the session's history holds that, as many turns as the game says.
"""

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.seat.asked import Asked
from agent_runtime.seat.errors import SeatError
from agent_runtime.seat.seat import Seat

__all__ = ["AdapterChoice", "Asked", "Seat", "SeatError"]
