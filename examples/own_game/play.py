"""Plays this folder's game for three hours of a night, with the typed client that comes with Hotseat.

    hotseat serve --games examples --mode star
    python examples/own_game/play.py [URL]

The game is the loop below: it owns the state, says what is legal, and tells what became of each answer.
"""

import sys

from agent_runtime.errors import HotseatError
from agent_runtime.server import Client
from agent_runtime.turn import ActionOption

MATCH, SESSION = "lighthouse", "keeper"
NIGHT = {
    "hour": 22,
    "coast": {"reef": {"bearing": "north", "depth_feet": 4}, "harbour": {"bearing": "west", "berths": 2}},
    "ships": [
        {"id": "gull", "kind": "brig", "miles": 5, "course": "homeward"},
        {"id": "heron", "kind": "collier", "miles": 3, "course": "towards the reef"},
    ],
}
SHIP_SCHEMA = {"type": "object", "properties": {"ship": {"enum": ["gull", "heron"]}}, "required": ["ship"]}
ACTIONS = [
    ActionOption("hail", "call to a ship", schema=SHIP_SCHEMA),  # two ships: scored as two answers, in one forward
    ActionOption("light the lamp"),
    ActionOption("wait"),
]


def main(url: str) -> None:
    """Open the match, ask once an hour, and bring the heron nearer each time."""
    with Client(url) as client:
        opened = client.open_match(MATCH, "own_game")
        frame = 1 if opened.frame is None else opened.frame + 1  # a match that the server knew goes on
        client.put_state(MATCH, frame, state=NIGHT)
        last_turn_id = client.open_session(SESSION, MATCH, persona="keeper").last_turn_id or 0
        ready = client.wait_ready(SESSION)
        print(f"{opened.game} in mode {opened.mode}: {ready.encoded} tokens encoded, {ready.loaded} loaded, ", end="")
        print(f"{ready.shared} shared")
        for hour in range(3):
            miles = 3 - hour
            if hour:
                frame += 1
                client.put_state(
                    MATCH,
                    frame,
                    patch=[
                        {"op": "replace", "path": "/hour", "value": 22 + hour},
                        {"op": "replace", "path": "/ships/1/miles", "value": miles},
                    ],
                )
            turn_id = last_turn_id + 1 + hour
            result = client.turn(
                SESSION, turn_id, frame=frame, observation="What do you do this hour?", actions=ACTIONS
            )
            if result.action is None or result.account is None:
                sys.exit(f"turn {turn_id} ended as {result.outcome}: {result.message}")
            done = f"{result.action.id} {dict(result.action.args or {}) or ''}".strip()
            account = result.account
            # How each block came into memory: computed just now, or read from the store. The others were there.
            blocks = [f"{use.name} {use.how}" for use in account.changed] + [f"{account.blocks_hit} shared"]
            print(f"hour {22 + hour}: {done}; computed {account.tokens_computed} tokens; blocks: {', '.join(blocks)}")
            # What the game makes of it. A refusal is told in the agent's next prompt.
            hailed = (result.action.args or {}).get("ship")
            if hailed is not None and {"gull": 5, "heron": miles}[hailed] >= 2:
                client.apply_turn(SESSION, turn_id, ok=False, message=f"The {hailed} is too far to hear you.")
            else:
                client.apply_turn(SESSION, turn_id, ok=True)


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8765"
    try:
        main(url)
    except ConnectionRefusedError:
        sys.exit(f"No server listens on {url} (yet): loading its model takes a while.")
    except HotseatError as error:
        sys.exit(f"The server says: {error}")
