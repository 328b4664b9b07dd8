"""A model measured by the games it plays: in each of its modes, against opponents, beside players without a model.

Every condition plays the same pairs of seed and seat. The seeds are those of the split `test`: no environment is one
that samples for training were played in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.seat import Seat
from agent_runtime.seat.opening import folder_of, own_runtime
from agent_runtime.seat.seat import MAX_ROWS
from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.evaluating.gains import BEST_CONSTANT, EXPERT, RANDOM, Counting, Measure, is_model
from agent_runtime.tuning.evaluating.players import ModelPlayer, always, at_random, by_expert
from agent_runtime.tuning.evaluating.playing import Matches, Pair, Played, Player, close
from agent_runtime.tuning.evaluating.standings import CONSTANT, Standings, by_seed
from agent_runtime.tuning.evaluating.tables import as_table, negated, on_few, with_interval
from agent_runtime.tuning.samples import SPLITS
from agent_runtime.turn import Mode
from game_adapters import load_adapter, make_env
from game_adapters.adapter import plays_for_reward
from game_adapters.environments import Environment
from game_adapters.errors import NoExpert
from game_adapters.experts import Expert, load_expert, offered_answers

Tell = Callable[[str, int], None]

SHORT: Mapping[str, Mapping[str, Any]] = MappingProxyType({"texas_holdem": MappingProxyType({"hands": 1})})
"""Options that make a match short where a game's own are made for an evening."""
# Answers that are tried as constants: those that are offered most often.
_MOST_CONSTANTS = 12
# So many rounds of matches are played by one player before the next one has the same pairs.
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Contest:
    """What is played: `matches` pairs of seed and seat of a game, `at_once` side by side, against each opponent.

    An opponent is `random`, `expert` or `constant:` and an action's name; a game for one agent has none. With the
    probability `wander` the expert, as an opponent, does anything: where chance has no part in a game, all its matches
    would be one. `judged` has every decision of the model compared with the expert's.
    """

    game: str
    options: Mapping[str, Any]
    matches: int = 300
    opponents: tuple[str, ...] = (RANDOM, EXPERT)
    at_once: int = 32
    wander: float = 0.1
    judged: bool = True


class Arena:
    """Where a contest is held. What cannot be played is refused before a model is needed."""

    def __init__(self, contest: Contest) -> None:
        """Raises BadArgument, and GameAdapterError for an unknown game or option, or a library or expert that lacks."""
        self._contest = contest
        self._options = {**SHORT.get(contest.game, {}), **contest.options}
        self._adapter = load_adapter(contest.game)
        self._folder = folder_of(self._adapter.contract, ())
        env = self._make(_seed(0))
        self._seats = tuple(env.possible_agents)
        close(env)
        self._is_alone = len(self._seats) == 1
        self._answers = offered_answers(self._adapter, self._make, 0, 2**31)
        self._expert = self._loaded_expert()
        self._opponents = {name: self._opponent(name) for name in contest.opponents}

    @property
    def num_matches(self) -> int:
        """Return how many matches each player has against each opponent."""
        return self._contest.matches

    def hold(
        self,
        loaded: LoadedModel,
        modes: Sequence[Mode],
        pool_mib: int,
        tell: Tell,
        keep: Callable[[dict[str, Any]], None] = lambda report: None,
    ) -> Iterator[dict[str, Any]]:
        """Play everything with one model in several modes, the first being the measure; yield a report an opponent.

        `tell` hears who plays against whom, and the number of matches that this player has finished. `keep` hears, now
        and then, the report on the matches that all have played by then: it is that of a contest of so many. Raises
        MatchFailed, and what `Seat` raises.
        """
        with ExitStack() as stack:
            runtime = own_runtime(loaded, self._folder, pool_mib, MAX_ROWS)
            stack.callback(runtime.close)
            seats = {
                mode.value: stack.enter_context(Seat(self._contest.game, runtime=runtime, mode=mode.value, how="best"))
                for mode in modes
            }
            opponents = {None: None} if self._is_alone else self._opponents
            for name, opponent in opponents.items():
                models = {mode: ModelPlayer(seat) for mode, seat in seats.items()}
                for report in self._against(name, opponent, models, tell):
                    if report["matches"] < self._contest.matches:
                        keep(report)
                    else:
                        yield report

    def _against(
        self, against: str | None, opponent: Player | None, models: Mapping[str, ModelPlayer], tell: Tell
    ) -> Iterator[dict[str, Any]]:
        """Yield the report of a contest again and again, each time on more matches, in the end on all."""
        contest = self._contest
        others = self._others()
        measure: Measure = "reward" if plays_for_reward(self._adapter.contract) else "score"
        counting = Counting(contest.game, self._is_alone, len(self._seats))
        standings = Standings(counting, tuple(models), tuple(others), measure)
        judge = self._expert if contest.judged else None
        num_played = dict.fromkeys((*models, *others), 0)

        def played(name: str, player: Player, pairs: Sequence[Pair]) -> Iterator[Played]:
            matches = Matches(contest.game, self._make, opponent, contest.at_once, judge if name in models else None)
            what = f"{contest.game}, {name} against {against or 'nobody'}"
            tell(what, num_played[name])
            for each in matches.play(player, pairs):
                num_played[name] += 1
                tell(what, num_played[name])
                yield each

        num_pairs = 0
        for pairs in self._parts():
            for seed in by_seed({name: played(name, player, pairs) for name, player in {**models, **others}.items()}):
                standings.add(seed)
            for name, model in models.items():
                standings.players[name].seconds = model.seconds
            num_pairs += len(pairs)
            yield {
                "game": contest.game,
                "options": self._options,
                "opponent": against,
                "wander": contest.wander if against == EXPERT else None,
                "matches": num_pairs,
                "seats": list(self._seats),
                "at_once": contest.at_once,
                **standings.report(),
            }

    def _parts(self) -> Iterator[list[Pair]]:
        """All pairs, whole seeds of them at a time."""
        num_seats = len(self._seats)
        pairs = (
            Pair(number, _seed(number // num_seats), self._seats[number % num_seats])
            for number in range(self._contest.matches)
        )
        num_seeds = -(-_ROUNDS * self._contest.at_once // num_seats)
        while part := list(islice(pairs, num_seeds * num_seats)):
            yield part

    def _make(self, seed: int) -> Environment:
        return make_env(self._contest.game, seed, **self._options)

    def _others(self) -> dict[str, Player]:
        """Who plays without a model."""
        others: dict[str, Player] = {RANDOM: at_random(self._adapter)}
        if self._expert is not None:
            others[EXPERT] = by_expert(self._adapter, self._expert)
        answers = self._answers[:_MOST_CONSTANTS]
        return others | {f"{CONSTANT}{answer}": always(self._adapter, answer) for answer in answers}

    def _loaded_expert(self) -> Expert | None:
        try:
            return load_expert(self._contest.game)
        except NoExpert:
            if EXPERT in self._contest.opponents:
                raise
            return None

    def _opponent(self, name: str) -> Player:
        if name == RANDOM:
            return at_random(self._adapter)
        if name == EXPERT:
            assert self._expert is not None
            return by_expert(self._adapter, self._expert, self._contest.wander)
        answer = name.removeprefix(CONSTANT)
        if answer not in self._answers:
            known = ", ".join([RANDOM, EXPERT, *(f"{CONSTANT}{each}" for each in self._answers[:_MOST_CONSTANTS])])
            raise BadArgument("opponent", f"{name!r} plays no {self._contest.game}; there are {known}.")
        return always(self._adapter, answer)


def _seed(number: int) -> int:
    """Return a seed of the split `test`: as for samples, its number modulo 3 is the split's."""
    return len(SPLITS) * number + SPLITS.index("test")


def as_markdown(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return reports of contests as a table: a line per game, opponent and player.

    Differences to those without a model are by the game's own measure, those to the first mode by the score.
    """
    first = next(name for report in reports for name in report["players"] if is_model(name))
    head = ["game", "against", "player", "matches", "score", "won / drawn / lost", "reward", "by", "above random"]
    head += [
        "above best constant",
        f"above {first}, score",
        "as the expert",
        "legal mass",
        "legal anyway",
        "decisions/s",
    ]
    lines = []
    for report in reports:
        options = ", ".join(f"{name}={value}" for name, value in report["options"].items())
        for name, player in report["players"].items():
            if (
                name.startswith(f"{BEST_CONSTANT} by")
                and player["action"] == report["players"][BEST_CONSTANT]["action"]
            ):
                continue
            above, cost = report["above"].get(name, {}), report["cost"].get(name)
            lines.append(
                [
                    f"{report['game']} ({options})" if options else report["game"],
                    _against(report),
                    f"{name}: {player['action']}" if "action" in player else name,
                    str(report["matches"]),
                    with_interval(player["score"]),
                    f"{player['won']} / {player['drawn']} / {player['lost']}",
                    with_interval(player["reward"]),
                    report["measure"],
                    *(
                        with_interval(above[other][report["measure"]]) if above else ""
                        for other in (RANDOM, BEST_CONSTANT)
                    ),
                    with_interval(negated(cost["score"])) if cost else "",
                    f"{player['agreement']['points']:.1f}" if "agreement" in player else "",
                    f"{player['legal_mass']:.3f}" if "legal_mass" in player else "",
                    f"{player['legal_anyway']:.1f}" if "legal_anyway" in player else "",
                    str(player.get("decisions_per_s", "")),
                ]
            )
    seeds = [player["score"]["samples"] for report in reports for player in report["players"].values()]
    return as_table(head, lines) + on_few(seeds, "seeds")


def _against(report: Mapping[str, Any]) -> str:
    wander = report["wander"]
    return f"{report['opponent'] or 'nobody'}{f', {100 * wander:.0f} % astray' if wander else ''}"
