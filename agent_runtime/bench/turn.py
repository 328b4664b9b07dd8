"""`hotseat bench turn`: one turn's time to the decision, every mode and transformers itself side by side in one run.

The workload (24 blocks of about 85 tokens, an observation of 50): each turn one block at a random place is replaced by
one seen earlier, never the same pair of place and block twice. So a block mode has nothing to encode, a prefix ends at
the changed place, and `full` knows nothing. All modes have pools of equal size and play the same turns, interleaved.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache

from agent_runtime.agent import PendingTurn
from agent_runtime.bench.llama_server import LlamaServer
from agent_runtime.bench.prompts import GAME, Sentences, write_game
from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.compute_thread import computed
from agent_runtime.engine.cpu_products import torchs_own_products
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.environment import environment
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.turn import Account, ActionOption, MatchSpec, Mode, SessionSpec, TurnRequest

_ACTIONS = (ActionOption("A"), ActionOption("B"))
_SESSION = "bench"
Block = dict[str, str]
_LLAMA = "llama.cpp"
_SORTED = "prefix, blocks sorted by how seldom they change"


@dataclass(frozen=True, slots=True)
class Workload:
    """The sizes of the measured prompts, and how many turns are played.

    `small_blocks` and `large_blocks` are the number of blocks and the tokens of each, about equal in product.
    """

    num_blocks: int = 24
    block_tokens: int = 85
    observation_tokens: int = 50
    turns: int = 30
    pool_mib: int = 768
    seed: int = 0
    small_blocks: tuple[int, int] = (300, 22)
    large_blocks: tuple[int, int] = (30, 220)


@dataclass(slots=True)
class Case:
    """All turns of one case in one mode."""

    case: str
    mode: str
    ttft_ms: list[float] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """Return the case as the JSON report has it."""
        ordered = sorted(self.ttft_ms)
        return {
            "case": self.case,
            "mode": self.mode,
            "turns": len(ordered),
            "ttft_ms": {
                "mean": round(statistics.fmean(ordered), 2),
                "p50": round(statistics.median(ordered), 2),
                "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 2),
            },
            "tokens_computed": round(statistics.fmean(a.tokens_computed for a in self.accounts))
            if self.accounts
            else None,
            "tokens_cached": round(statistics.fmean(a.tokens_cached for a in self.accounts)) if self.accounts else None,
            "forwards": round(statistics.fmean(a.forwards for a in self.accounts), 2) if self.accounts else None,
            "overhead_ms": round(statistics.median(a.overhead_ms for a in self.accounts), 3) if self.accounts else None,
        }

    @property
    def mean(self) -> float:
        """Return the mean time to the decision in milliseconds."""
        return statistics.fmean(self.ttft_ms)


class Seat:
    """One mode with a pool of its own, and the one session that plays in it."""

    def __init__(self, loaded: LoadedModel, mode: Mode, games: Path, pool_mib: int) -> None:
        served = serve_model("bench", loaded, MemoryStore(), pool_mib=pool_mib, max_rows=512, probed=False)
        self.runtime = AgentRuntime({"bench": served}, games=[games])
        self.runtime.open_match(MatchSpec("bench", GAME, mode=mode))
        self.runtime.open_session(SessionSpec(_SESSION, "bench"))
        self.frame = -1

    def begin(self, blocks: Sequence[Block], observation: str) -> PendingTurn:
        """Send the whole state of a next frame and begin a turn about it."""
        self.frame += 1
        self.runtime.put_state("bench", self.frame, state={"blocks": list(blocks)})
        return self.runtime.begin_turn(TurnRequest(_SESSION, self.frame, self.frame, observation, _ACTIONS))

    def play(self, blocks: Sequence[Block], observation: str) -> Account:
        """Play one turn about a next frame."""
        account = self.begin(blocks, observation).run().account
        assert account is not None, "a benchmark turn failed"
        return account


def bench_turn(
    loaded: LoadedModel, workload: Workload, tell: Callable[[str], None], llama: LlamaServer | None = None
) -> dict[str, Any]:
    """Run the benchmark and return its report; `tell` hears how far it is. With `llama`, that server plays along."""
    if llama:
        llama.first_token_ms([loaded.text.end_of_turn])  # is it there at all?
    with tempfile.TemporaryDirectory() as folder:
        games = write_game(Path(folder))
        cases = [*_changing(loaded, workload, games, tell, llama), *_many_blocks(loaded, workload, games, tell)]
    by_name = {(case.case, case.mode): case.mean for case in cases}
    against_llama = {
        f"{case}_star_over_llama_cpp": by_name[case, "star"] / by_name[case, _LLAMA]
        for case in ("changed", "hit")
        if (case, _LLAMA) in by_name
    }
    return {
        "environment": environment(loaded),
        "workload": {name: getattr(workload, name) for name in workload.__slots__},
        "cases": [case.report() for case in cases],
        "ratios": {
            "changed_star_over_full": by_name["changed", "star"] / by_name["changed", "full"],
            "changed_star_over_prefix": by_name["changed", "star"] / by_name["changed", "prefix"],
            "changed_star_over_prefix_sorted": by_name["changed", "star"] / by_name["changed", _SORTED],
            "hit_star_over_transformers": by_name["hit", "star"] / by_name["hit", "transformers"],
            "full_over_transformers": by_name["changed", "full"] / by_name["changed", "transformers"],
            "prefix_over_transformers": by_name["hit", "prefix"] / by_name["hit", "transformers"],
            "small_blocks_over_large": cases[-2].mean / cases[-1].mean,
            **against_llama,
        },
    }


def _changing(
    loaded: LoadedModel, workload: Workload, games: Path, tell: Callable[[str], None], llama: LlamaServer | None
) -> list[Case]:
    rng = random.Random(workload.seed)
    sentences = Sentences(loaded.text.count, workload.seed)
    known = _blocks(sentences, 2 * workload.num_blocks, workload.block_tokens)
    modes = {
        "star": Mode.STAR,
        "anchored": Mode.ANCHORED,
        "prefix": Mode.PREFIX,
        "full": Mode.FULL,
        _SORTED: Mode.PREFIX,
    }
    seats = {name: Seat(loaded, mode, games, workload.pool_mib) for name, mode in modes.items()}
    others = ("transformers", *([_LLAMA] if llama else []))
    changed = {name: Case("changed", name) for name in (*modes, *others)}
    hits = {name: Case("hit", name) for name in ("star", "anchored", "prefix", *others)}
    places = range(workload.num_blocks)
    current = known[: workload.num_blocks]
    seen = {(place, block["id"]) for place, block in enumerate(current)}
    num_changes = [0] * workload.num_blocks
    # Every block is seen once before anything is measured, and every mode has played a turn.
    for start in (workload.num_blocks, 0):
        tell("encoding the blocks")
        for name, seat in seats.items():
            if name != "full":
                seat.play(
                    known[start : start + workload.num_blocks], sentences.sentence(workload.observation_tokens - 10)
                )
    baseline = TransformersBaseline(loaded)
    if llama:
        prompt = seats["star"].begin(current, sentences.sentence(workload.observation_tokens - 10)).prompt
        llama.first_token_ms([*[token for block in prompt.blocks for token in block.ids], *prompt.observation])
    for turn in range(workload.turns):
        tell(f"turn {turn + 1} of {workload.turns}")
        fresh = [(p, b) for p in places for b in known if (p, b["id"]) not in seen and b not in current]
        place, block = rng.choice(fresh)
        seen.add((place, block["id"]))
        current = [*current[:place], block, *current[place + 1 :]]
        num_changes[place] += 1
        by_change = [current[p] for p in sorted(places, key=lambda p: num_changes[p])]
        observations = [sentences.sentence(workload.observation_tokens - 10) for _ in range(2)]
        for name, seat in rng.sample(list(seats.items()), len(seats)):
            blocks = by_change if name == _SORTED else current
            _note(changed[name], seat.play(blocks, observations[0]))
            if name in hits:
                _note(hits[name], seat.play(blocks, observations[1]))
        prompts = [seats["star"].begin(current, observation).prompt for observation in observations]
        prompt, static = prompts[0], [token for block in prompts[0].blocks for token in block.ids]
        if llama:
            for case, asked in zip((changed, hits), prompts, strict=True):
                case[_LLAMA].ttft_ms.append(llama.first_token_ms([*static, *asked.observation]))
        if turn % 3 == 0:
            changed["transformers"].ttft_ms.append(baseline.prefill_ms([*static, *prompt.observation]))
            hits["transformers"].ttft_ms.append(baseline.cached_ms(static, prompt.observation))
    for seat in seats.values():
        seat.runtime.close()
    return [*changed.values(), *hits.values()]


def _many_blocks(loaded: LoadedModel, workload: Workload, games: Path, tell: Callable[[str], None]) -> list[Case]:
    """The same number of tokens in many small blocks and in few large ones, nothing changed: what a block costs."""
    cases, seats = [], []
    for num_blocks, tokens in (workload.small_blocks, workload.large_blocks):
        tell(f"encoding {num_blocks} blocks of {tokens}")
        sentences = Sentences(loaded.text.count, workload.seed + num_blocks)
        blocks = _blocks(sentences, num_blocks, tokens)
        seat = Seat(loaded, Mode.STAR, games, workload.pool_mib)
        seat.play(blocks, sentences.sentence(workload.observation_tokens - 10))
        seats.append((seat, blocks))
        cases.append(Case(f"{num_blocks} blocks of {tokens}", "star"))
    for _ in range(max(5, workload.turns // 3)):
        observation = sentences.sentence(workload.observation_tokens - 10)
        for case, (seat, blocks) in zip(cases, seats, strict=True):
            _note(case, seat.play(blocks, observation))
    for seat, _ in seats:
        seat.runtime.close()
    return cases


def _blocks(sentences: Sentences, num_blocks: int, num_tokens: int) -> list[Block]:
    """Return blocks that count about `num_tokens` with the line that names them."""
    return [{"id": f"b{i}", "text": sentences.sentence(num_tokens - 7)} for i in range(num_blocks)]


def _note(case: Case, account: Account) -> None:
    case.ttft_ms.append(account.ttft_ms)
    case.accounts.append(account)


class TransformersBaseline:
    """The same weights through transformers' own sdpa path: a whole prefill, and one behind a filled cache."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._model = loaded.model
        self._device = loaded.device

    def prefill_ms(self, ids: Sequence[int]) -> float:
        """Return the time of one forward of `ids` into an empty cache."""
        return computed(lambda: self._timed(ids, DynamicCache(config=self._model.config)))

    def cached_ms(self, static: Sequence[int], asked: Sequence[int]) -> float:
        """Return the time of one forward of `asked` behind `static`, which the cache already holds."""
        cache = DynamicCache(config=self._model.config)
        computed(lambda: self._timed(static, cache))
        return computed(lambda: self._timed(asked, cache))

    @torch.inference_mode()
    def _timed(self, ids: Sequence[int], cache: DynamicCache) -> float:
        ours = self._model.config._attn_implementation
        self._model.set_attn_implementation("sdpa")
        tokens = torch.tensor([list(ids)], device=self._device)
        options: dict[str, Any] = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
        try:
            with torchs_own_products(self._model):
                begin = time.perf_counter()
                self._model(tokens, **options).logits[0, -1].argmax().item()
                return 1e3 * (time.perf_counter() - begin)
        finally:
            self._model.set_attn_implementation(ours)
