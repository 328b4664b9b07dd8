"""`python -m agent_runtime.bench.socket_game URL`: a game in a process of its own, with `websockets` and `json` only.

A line on its standard input names messages to send at once, and the type of what is to be waited for; a line of its
output has that message, and the milliseconds from the first byte sent until it was read.
"""

import json
import sys
import time

from websockets.sync.client import connect
from websockets.typing import Subprotocol

# How long a server may take for an answer, a cold start among them.
PATIENCE_S = 3600.0


def main() -> None:
    """Send and wait, line after line, until the input ends; a refusal is an answer, too."""
    url = sys.argv[1]
    with connect(url, subprotocols=[Subprotocol("hotseat.v1")], compression=None, proxy=None, max_size=None) as socket:
        for line in sys.stdin:
            asked = json.loads(line)
            begin = time.perf_counter()
            for text in asked["send"]:
                socket.send(text)
            while True:
                heard = json.loads(socket.recv(timeout=PATIENCE_S))
                if heard["type"] in (asked["until"], "error"):
                    break
            took_ms = 1e3 * (time.perf_counter() - begin)
            print(json.dumps({"ms": took_ms, "message": heard}), flush=True)


if __name__ == "__main__":
    main()
