"""A server with the fake runtime, as a process of its own: `python -m tests.agent_runtime.server.serve_fake '{...}'`.

The argument is a JSON object: `config` for ServerConfig, and optionally `results` (a file that outlives the process)
and `record` (a folder).
"""

import json
import sys
from pathlib import Path

from agent_runtime.replay.recording import MatchRecorder
from agent_runtime.server import ServerConfig, serve
from tests.agent_runtime.server.fake_runtime import FakeRuntime


def main() -> None:
    told = json.loads(sys.argv[1])
    runtime = FakeRuntime(Path(told["results"]) if "results" in told else None)
    config = ServerConfig.model_validate(told.get("config", {}))
    if "record" in told:
        serve(runtime, config, recorder=MatchRecorder(Path(told["record"]), server="hotseat test"))
    else:
        serve(runtime, config)
    print(f"closed with {runtime.closed_with:.1f}", flush=True)


if __name__ == "__main__":
    main()
