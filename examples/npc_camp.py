"""Many NPCs over one socket: a tick asks them all at once, and the game goes on when all have answered.

    hotseat serve --mode star
    python examples/npc_camp.py [URL] [--npcs 12] [--ticks 3] [--blocks 60]

The camp (`game_adapters.camp`) lives here; the server sees its state once a tick, whatever the number of NPCs, and all
turns of the tick are under way together. Those who chose what another took first are told so in their next prompt.
"""

import argparse
import sys
import time
from collections import Counter

import jsonpatch

from agent_runtime.errors import HotseatError
from agent_runtime.server import Client
from agent_runtime.server.server_messages import TurnResult
from agent_runtime.turn import ActionOption, Decide
from game_adapters import GameAdapterError, make_env
from game_adapters.camp import Camp, rules

MATCH, SEED = "npc-camp", 7
DECIDE = Decide(how="sample", temperature=0.7, seed=SEED)
DEADLINE_MS = 20_000
# What an NPC does that has not answered by its deadline: the game decides that, never the server.
FALLBACK = "hold"


def main(url: str, npcs: int, ticks: int, blocks: int) -> None:
    """Seat the NPCs and play. `blocks` is how much camp there is: so many blocks of its state each NPC sees."""
    env = make_env("camp", SEED, npcs=npcs, blocks=blocks, ticks=ticks)
    camp, world = Camp(), env.unwrapped
    with Client(url, name="npc_camp") as client:
        opened = client.open_match(MATCH, "camp")
        frame = 1 if opened.frame is None else opened.frame + 1
        state = camp.describe_match(env)
        client.put_state(MATCH, frame, state=state)

        personas = next(game.personas for game in client.welcome.games if game.name == "camp")
        turn_ids = {}
        for number, npc in enumerate(env.possible_agents):
            # An NPC sees the camp, but not the others' orders. The sessions share every block that is not private.
            session = client.open_session(npc, MATCH, sight=camp.sight(npc), persona=personas[number % len(personas)])
            turn_ids[npc] = (session.last_turn_id or 0) + 1
        readies = [client.wait_ready(npc) for npc in turn_ids]
        encoded, shared = sum(ready.encoded for ready in readies), sum(ready.shared for ready in readies)
        print(f"{npcs} NPCs on one socket, mode {opened.mode}: {encoded} tokens encoded, {shared} shared")

        for tick in range(1, ticks + 1):
            began = time.perf_counter()
            asked = {
                npc: client.begin_turn(
                    npc,
                    turn_ids[npc],
                    frame=frame,
                    observation=camp.observation(env, npc),
                    actions=[ActionOption(str(deed)) for deed in world.deeds if rules.is_legal(world.world, npc, deed)],
                    decide=DECIDE,
                    deadline_ms=DEADLINE_MS,
                )
                for npc in env.agents
            }
            results = {npc: future.result(120) for npc, future in asked.items()}
            took_ms = 1e3 * (time.perf_counter() - began)

            done: Counter[str] = Counter()
            for npc, result in results.items():
                wish = result.action.id if result.action else FALLBACK
                # The wish was legal when the tick began; by now another NPC may have been faster.
                is_legal = bool(env.observe(npc)["action_mask"][world.deed_names.index(wish)])
                deed = wish if is_legal else FALLBACK
                env.step(world.deed_names.index(deed))
                done[deed.split()[0]] += 1
                if is_legal and result.action:
                    client.apply_turn(npc, turn_ids[npc], ok=True, reward=float(env.rewards[npc]))
                elif result.action:
                    client.apply_turn(npc, turn_ids[npc], ok=False, message=f"Somebody was faster: no {wish} any more.")
                turn_ids[npc] += 1
            print(f"tick {tick}: {describe(results, took_ms)}; {', '.join(f'{n} {deed}' for deed, n in done.items())}")

            frame += 1
            after = camp.describe_match(env)
            client.put_state(MATCH, frame, patch=jsonpatch.make_patch(state, after).patch)
            state = after


def describe(results: dict[str, TurnResult], took_ms: float) -> str:
    """How the turns of a tick went, and what they cost."""
    accounts = [result.account for result in results.values() if result.account]
    computed = sum(account.tokens_computed for account in accounts)
    total = computed + sum(account.tokens_cached for account in accounts)
    outcomes = Counter(str(result.outcome) for result in results.values())
    ended = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    return f"{ended} after {took_ms:.0f} ms, computed {computed:,} of {total:,} tokens"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Many NPCs over one socket.")
    parser.add_argument("url", nargs="?", default="ws://127.0.0.1:8765")
    parser.add_argument("--npcs", type=int, default=12)
    parser.add_argument("--ticks", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=60)
    given = parser.parse_args()
    try:
        main(given.url, given.npcs, given.ticks, given.blocks)
    except ConnectionRefusedError:
        sys.exit(f"No server listens on {given.url} (yet): loading its model takes a while.")
    except GameAdapterError as error:
        sys.exit(str(error))
    except HotseatError as error:
        sys.exit(f"The server says: {error}")
