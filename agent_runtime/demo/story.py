"""The demo, in order: serve, play hold'em, kill the server between two turns and go on, play camp, replay both."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent_runtime.adapter_choice import Adapter, AdapterChoice, adapter_arguments
from agent_runtime.demo.errors import FolderInUse
from agent_runtime.demo.player import GamePlayer, PlayedTurn
from agent_runtime.demo.screen import Screen
from agent_runtime.demo.server import ServerProcess
from agent_runtime.demo.verdict import caveat, find, verdict
from agent_runtime.replay.report import ReplayReport
from agent_runtime.server.client import Client
from agent_runtime.server.errors import ClientError
from agent_runtime.turn import Decide

# A first start unpacks the embedded model, and machines are slow.
_START_S = 300.0
_ANSWER_S = 120.0
_TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What is played, how long, and where store and recordings are kept; without a folder they are thrown away."""

    model: str = "embedded"
    folder: Path | None = None
    pool_mib: int = 512
    hands: int = 3
    chips: int = 30
    turns_before_kill: int = 5
    blocks: int = 40
    ticks: int = 4
    seed: int = 7
    minutes: str = "three to six minutes"
    adapter: Adapter = AdapterChoice.DEFAULT

    @classmethod
    def fast(cls, model: str, folder: Path | None) -> "DemoOptions":
        """A demo that is as short as it can be and still shows everything."""
        return cls(
            model=model, folder=folder, hands=2, turns_before_kill=2, blocks=24, ticks=1, minutes="about two minutes"
        )


@dataclass(frozen=True, slots=True)
class Resumed:
    """The tokens that a new server loaded from disk, and those that it had to encode again."""

    loaded: int
    encoded: int


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo saw: how the match was taken up again (None if no moment came to kill the server), and the two
    replays."""

    resumed: Resumed | None
    reports: tuple[ReplayReport, ...]


def run_demo(options: DemoOptions, screen: Screen) -> DemoResult:
    """Run the whole demo. Raises DemoError and what the games, the client and the replayer raise."""
    began = time.perf_counter()
    _introduce(options, screen)
    with _folder(options) as folder:
        holdem, camp = _players(options)
        with ServerProcess(_serve_arguments(options, folder), folder / "server.log", start_s=_START_S) as server:
            try:
                resumed = _play_holdem(holdem, options, server, folder / "store", screen)
                _play_camp(camp, server, screen)
            except ClientError as error:
                if (died := server.died()) is None:
                    raise
                raise died from error
        reports = _replay_both(options, sorted((folder / "recordings").glob("match-*.jsonl"), reverse=True), screen)
        screen.chapter("What follows from it")
        findings = [finding for report in reports if (finding := find(report))]
        screen.say(verdict(findings), "bold")
        if not reports[0].block_tuned:
            screen.say(caveat(findings, reports[0].model))
        if options.folder is not None:
            screen.say(f"Store and recordings are in {folder}; replay them again with: hotseat replay FILE", "dim")
        screen.say(f"That took {(time.perf_counter() - began) / 60:.1f} minutes.", "dim")
    return DemoResult(resumed, reports)


def _introduce(options: DemoOptions, screen: Screen) -> None:
    screen.introduce(
        "Hotseat",
        [
            "LLM agents play two games over WebSocket. Every turn computes only what changed in its prompt: what stays "
            "true is cut into blocks, encoded once, kept, shared and stored.",
            "",
            f"1. A server starts, and two agents play {options.hands} hands of hold'em.",
            "2. Between two turns the server is killed. Another one takes the match up from disk.",
            "3. Three agents play a seeded camp over one socket.",
            "4. Both games are replayed with full attention, prefix reuse and star, side by side.",
            "",
            "Each action is drawn by the shares that the model gives to the legal ones: not always the likeliest.",
            "",
            f"On two idle cores it takes {options.minutes} with the embedded model, SmolLM2-135M, and 20 to 45 seconds "
            "more the first time, when the model is unpacked.",
        ],
    )


@contextmanager
def _folder(options: DemoOptions) -> Iterator[Path]:
    if options.folder is None:
        with tempfile.TemporaryDirectory(prefix="hotseat-demo-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    if options.folder.exists() and (not options.folder.is_dir() or any(options.folder.iterdir())):
        raise FolderInUse(options.folder)
    options.folder.mkdir(parents=True, exist_ok=True)
    yield options.folder.resolve()


def _serve_arguments(options: DemoOptions, folder: Path) -> list[str]:
    arguments = {
        "--model": options.model,
        "--mode": "star",
        "--store": folder / "store",
        "--record": folder / "recordings",
        "--port": 0,
        "--pool-mib": options.pool_mib,
        "--load-or-encode": "load",  # the story is of blocks that outlive the server, however quick the machine is
    }
    return [*(str(each) for pair in arguments.items() for each in pair), *adapter_arguments(options.adapter)]


def _players(options: DemoOptions) -> tuple[GamePlayer, GamePlayer]:
    decide = Decide(how="sample", temperature=_TEMPERATURE, seed=options.seed)
    holdem = GamePlayer(
        "texas_holdem",
        "holdem",
        {"player_0": "gambler", "player_1": "shark"},
        seed=options.seed,
        decide=decide,
        hands=options.hands,
        chips=options.chips,
    )
    camp = GamePlayer(
        "camp",
        "camp",
        {"npc_0": "warden", "npc_1": "veteran", "npc_2": "forager"},
        seed=options.seed,
        decide=decide,
        npcs=3,
        blocks=options.blocks,
        ticks=options.ticks,
    )
    return holdem, camp


def _start(server: ServerProcess, screen: Screen, text: str) -> str:
    with screen.waiting(text):
        return server.start()


def _play_holdem(
    player: GamePlayer, options: DemoOptions, server: ServerProcess, store: Path, screen: Screen
) -> Resumed | None:
    """Play all hands; between two turns the server is killed."""
    screen.chapter("Hold'em: two agents, two sessions, one match")
    url = _start(server, screen, "Starting the server (a first start unpacks the embedded model: 20 to 45 s)")
    screen.say(f"hotseat serve listens on {url}")
    client = Client(url, name="demo", timeout_s=_ANSWER_S)
    resumed = None
    try:
        with screen.waiting("Encoding what both agents see"):
            readies = player.open(client)
        screen.ready(readies)
        played: list[PlayedTurn] = []
        while (turn := player.play(client)) is not None:
            screen.turn(turn)
            played.append(turn)
            if resumed is None and (moment := _moment_to_kill(played, player, options)):
                screen.chapter(f"The server is killed {moment}")
                client, resumed = _interrupt(client, player, server, store, screen)
    finally:
        client.close()
    return resumed


def _moment_to_kill(played: list[PlayedTurn], player: GamePlayer, options: DemoOptions) -> str | None:
    """Return the words for this moment if it is the one: a hand goes on in which both agents have acted, so that all
    they see has been encoded. If no hand lasted so long, the last one is about to begin."""
    upcoming = player.upcoming()
    if upcoming is None:
        return None
    hand = upcoming.state["hand"]["number"]
    acted = {turn.agent for turn in played if turn.view.state["hand"]["number"] == hand}
    if len(acted) == 2 and len(played) >= options.turns_before_kill:
        return f"between two turns of hand {hand}"
    return f"before hand {hand}" if not acted and hand == options.hands else None


def _interrupt(
    client: Client, player: GamePlayer, server: ServerProcess, store: Path, screen: Screen
) -> tuple[Client, Resumed]:
    """Kill the server and take the match up with another one."""
    flushed = client.flush(player.match)
    killed = server.process_id
    server.kill()
    client.close()
    # Not before: it takes seconds, and until here nothing needs it.
    from kv_store import list_store

    left = list_store(store)
    screen.killed(killed, flushed, left.blocks, left.pack_bytes)
    began = time.perf_counter()
    url = _start(server, screen, "Starting another server on the same store")
    client = Client(url, name="demo", timeout_s=_ANSWER_S)
    reopened = player.reopen(client)
    screen.resumed(server.process_id, time.perf_counter() - began, reopened)
    readies = reopened.sessions
    return client, Resumed(sum(ready.loaded for ready in readies), sum(ready.encoded for ready in readies))


def _play_camp(player: GamePlayer, server: ServerProcess, screen: Screen) -> None:
    screen.chapter("Camp: three agents over one socket, a block or two changes every turn")
    assert server.url is not None
    with Client(server.url, name="demo", timeout_s=_ANSWER_S) as client:
        with screen.waiting("Encoding the camp"):
            readies = player.open(client)
        screen.ready(readies)
        while (turn := player.play(client)) is not None:
            screen.turn(turn)


def _replay_both(options: DemoOptions, recordings: list[Path], screen: Screen) -> tuple[ReplayReport, ...]:
    screen.chapter("The same turns again, as full attention, prefix reuse and star compute them")
    with screen.waiting("Loading the model into this process"):
        # Not before: the import alone takes seconds, and until here nothing needs it.
        from transformers.utils import logging

        from agent_runtime.engine.loading import ModelSpec, load_model
        from agent_runtime.replay.replayer import ReplayOptions, replay

        logging.disable_progress_bar()
        loaded = load_model(ModelSpec(source=options.model, adapter=options.adapter))
    reports = []
    for recording in recordings:
        with screen.counting(f"Replaying {recording.stem}") as count:
            report = replay(recording, loaded, ReplayOptions(pool_mib=options.pool_mib), count)
        reports.append(report)
    screen.reports(reports)
    return tuple(reports)
