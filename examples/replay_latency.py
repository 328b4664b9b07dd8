"""A latency test for your CI: plays a recording against a server, as fast as it was recorded, and fails if it is slow.

    hotseat serve --games examples --mode star --record recordings
    python examples/own_game/play.py                # play your game once: the server writes it down
    python examples/replay_latency.py recordings/match-lighthouse-*.jsonl --copies 8 --limit-ms 400

Exit code 1 if the 95th percentile of the time to a decision is over the limit, or a turn had none. `hotseat replay load
FILE --url URL --fail-if 'ttft_p95_ms>400'` does the same; this is how to get at the figures.
"""

import argparse
import sys
from pathlib import Path

from agent_runtime.errors import HotseatError
from agent_runtime.replay.load.options import LoadOptions, Server
from agent_runtime.replay.load.replay import replay_against


def main(recording: Path, url: str, copies: int, pace: float, limit_ms: float) -> int:
    """Replay, print what was measured, and return the exit code."""
    report = replay_against(recording, Server(url), LoadOptions(pace=pace, copies=copies))
    for warning in report.warnings:
        print(f"note: {warning}")
    if report.ended is not None:
        sys.exit(f"The recording was not played to its end: {report.ended}")
    mode = report.modes[0]
    times, traffic = mode.ttft_ms, mode.traffic
    if times is None or traffic is None:
        sys.exit(f"No turn was decided: {dict(mode.outcomes)}")
    # A percentile with fewer than ten turns beyond it is mostly luck, and is None: then the slowest turn counts.
    measured, name = (times.p95, "p95") if times.p95 is not None else (times.max, "slowest")
    print(f"{mode.turns} turns of {copies} matches at once in mode {mode.label}: {dict(mode.outcomes)}")
    p95 = "" if times.p95 is None else f", p95 {times.p95:.0f} ms"
    print(f"time to a decision: mean {times.mean:.0f} ms, slowest {times.max:.0f} ms{p95}")
    print(f"most turns at once: {traffic.under_way_max}; deadlines missed: {mode.deadline_miss_rate or 0:.0%}")
    undecided = mode.turns - mode.outcomes.get("ok", 0)
    if measured > limit_ms or undecided:
        print(f"FAILED: {name} is {measured:.0f} ms and the limit {limit_ms:g}; {undecided} turns without a decision")
        return 1
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A latency test for a CI.")
    parser.add_argument("recording", type=Path, help="a file that `hotseat serve --record` has written")
    parser.add_argument("--url", default="ws://127.0.0.1:8765")
    parser.add_argument("--copies", type=int, default=1, help="how many matches at once")
    parser.add_argument("--pace", type=float, default=1.0, help="how many times as fast as recorded")
    parser.add_argument("--limit-ms", type=float, default=1000.0)
    given = parser.parse_args()
    try:
        sys.exit(main(given.recording, given.url, given.copies, given.pace, given.limit_ms))
    except (HotseatError, OSError) as error:
        sys.exit(str(error))
