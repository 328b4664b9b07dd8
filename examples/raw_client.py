"""A complete client without Hotseat's own code: `websockets` to talk, `json` to speak.

    hotseat serve --mode star --store store
    python examples/raw_client.py [URL]

It opens a match of the built-in game camp on a tiny hand-made state, seats one agent and plays three turns. Run it a
second time, or kill the server in between: match and session are taken up again, and their blocks with them.
"""

import itertools
import json
import sys
from typing import Any

from websockets.sync.client import ClientConnection, connect

MATCH, SESSION = "raw-camp", "ulf"
STATE = {
    "clock": {"day": 1, "tick": 1, "ticks": 3},
    "rules": {
        "fight": {"spear": ["wolf"], "net": ["bear"]},
        "danger": {"answer": "go home"},
        "alarm": {"answer": "go home", "rings_for_ticks": 2},
        "food": {"eaten_a_day": 2, "eaten_a_rest": 1, "most_health": 5, "rest_below_health": 3},
    },
    "map": {
        "mill": {"ground": "grass", "exits": ["gate"], "look": "The wheel stands still."},
        "gate": {"ground": "stone", "exits": ["mill"], "look": "The road runs out to the north."},
    },
    "npcs": {
        "ulf": {
            "sheet": {
                "name": "Ulf",
                "trade": "smith",
                "weapon": "spear",
                "temper": "shy",
                "home": "mill",
                "story": "Owes the camp a debt and means to pay it.",
            },
            "status": {"at": "gate", "health": 5},
            "orders": {"task": "guard", "target": "gate"},
        }
    },
    "units": {
        "grimpaw": {"kind": "wolf", "at": "mill", "mark": "limps on the left"},
        "howlback": {"kind": "bear", "at": "mill", "mark": "follows the stream"},
    },
    "items": {"amber-cloak": {"at": "gate"}},
    "stores": {"food": 6},
    "alarm": {"rings": False},
}
# What the game changes before each turn, and what it tells: a unit that moves is one block, the rest stays.
FRAMES: list[tuple[list[dict[str, Any]], str, list[str]]] = [
    ([], "No unit is there.", []),
    ([{"op": "replace", "path": "/units/grimpaw/at", "value": "gate"}], "With you there: grimpaw.", ["attack grimpaw"]),
    ([{"op": "replace", "path": "/units/grimpaw/at", "value": "driven off"}], "No unit is there.", []),
]


class Hotseat:
    """One connection. Every message carries an `id`, and what answers it carries that as `reply_to`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    def ask(self, answer_type: str, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and return its answer of the given type; others that come before it are passed over."""
        message_id = next(self._ids)
        self._socket.send(json.dumps({**message, "id": message_id}))
        while True:
            answer: dict[str, Any] = json.loads(self._socket.recv(timeout=120))
            if answer.get("reply_to") != message_id:
                continue
            if answer["type"] == "error":
                sys.exit(f"{answer['code']}: {answer['message']}")
            if answer["type"] == answer_type:
                return answer


def main(url: str) -> None:
    """Say hello, open match and session, play three turns."""
    with connect(url, proxy=None) as socket:
        hotseat = Hotseat(socket)
        welcome = hotseat.ask("welcome", {"type": "hello", "protocol": "hotseat.v1", "client": "raw_client"})
        models = [f"{each['name']}, block-tuned: {each['block_tuned']}" for each in welcome["models"]]
        print(f"{welcome['server']} serves {'; '.join(models)}")

        match = hotseat.ask("match.opened", {"type": "match.open", "match": MATCH, "game": "camp", "mode": "star"})
        frame = match.get("frame", 0) + 1
        hotseat.ask("match.applied", {"type": "match.state", "match": MATCH, "frame": frame, "state": STATE})
        print(f"match {MATCH}: mode {match['mode']}, {'resumed' if match['resumed'] else 'new'}, now at frame {frame}")

        # The answer we wait for is the second one: everything that the session sees is encoded.
        opening = {"type": "session.open", "session": SESSION, "match": MATCH, "persona": "warden"}
        ready = hotseat.ask("session.ready", opening)
        print(
            f"session {SESSION}: {ready['encoded']} tokens encoded, {ready['loaded']} loaded, {ready['shared']} shared"
        )

        for patch, seen, extra in FRAMES:
            if patch:
                frame += 1
                hotseat.ask("match.applied", {"type": "match.state", "match": MATCH, "frame": frame, "patch": patch})
            turn = {
                "type": "turn",
                "session": SESSION,
                "turn_id": frame,  # any number that grows
                "frame": frame,
                "observation": f"You are Ulf with a spear, at gate. {seen} All is quiet.",
                "actions": [{"id": name} for name in ["hold", "raise alarm", "go to mill", *extra]],
                "decide": {"how": "sample", "temperature": 0.7, "seed": 5},
                "deadline_ms": 60_000,
            }
            result = hotseat.ask("turn.result", turn)
            if result["outcome"] != "ok":
                sys.exit(f"turn {frame} ended as {result['outcome']}: {result.get('message')}")
            print_turn(result)
            hotseat.ask("turn.noted", {"type": "turn.applied", "session": SESSION, "turn_id": frame, "ok": True})


def print_turn(result: dict[str, Any]) -> None:
    """Print what was decided, how likely it was, and what the turn cost."""
    chosen, account = result["action"]["id"], result["account"]
    share = next(score["p"] for score in result["scores"] if score["id"] == chosen)
    total = account["tokens_cached"] + account["tokens_computed"]
    print(f"turn {result['turn_id']}: {chosen} (p {share:.2f}) after {account['ttft_ms']:.0f} ms")
    print(f"  computed {account['tokens_computed']} of {total} tokens in {account['forwards']} forward")
    for use in account["changed"]:
        print(f"  {use['name']}: {use['tokens']} tokens {use['how']}, because {use['why']}")


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8765"
    try:
        main(url)
    except ConnectionRefusedError:
        sys.exit(f"No server listens on {url} (yet): loading its model takes a while.")
