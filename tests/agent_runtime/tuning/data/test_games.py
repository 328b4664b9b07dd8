"""Samples of games: the prompts are those of a seat, answers are the expert's, and splits share no episode."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from agent_runtime import agent as agent_module
from agent_runtime.cli import app
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.seat import Seat
from agent_runtime.tuning.data import games
from agent_runtime.tuning.data.games import Games, GamesMaker
from agent_runtime.tuning.data.generating import write_samples
from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.samples import SPLITS, read_header, read_samples
from game_adapters import load_adapter, make_env
from game_adapters.errors import BadOption, BadWords, GameCodeFailed, NoExpert
from game_adapters.experts import EXPERTS, load_expert
from game_adapters.tic_tac_toe import TicTacToe
from prompts import Prompt
from tests.agent_runtime.worlds import load_tiny
from tests.game_adapters.playable import PLAYABLE

# What games are played, small enough for a test.
OPTIONS: dict[str, dict[str, Any]] = {"texas_holdem": {"hands": 3}, "camp": {"ticks": 6}}
PERSONAS = {"camp": "veteran", "leduc": "rock", "babyai": "scout"}
MOST_TURNS = 20


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return replace(load_tiny(tmp_path_factory.mktemp("models")), context_limit=16384)


def recipe_of(game: str, **changes: Any) -> Games:
    return Games(game, tuple(OPTIONS.get(game, {}).items()), seed=3, **changes)


def maker_of(game: str, **changes: Any) -> GamesMaker:
    return recipe_of(game, **changes).maker()


def texts(prompt: Prompt) -> tuple[str, tuple[tuple[str, str], ...], str]:
    return prompt.anchor.text, tuple((block.name, block.text) for block in prompt.blocks), prompt.observation


@pytest.fixture
def assembled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Prompt]]:
    """The prompts that the runtime assembles, as they come."""
    made: list[Prompt] = []
    assemble = agent_module.assemble

    def listening(*arguments: Any, **named: Any) -> Prompt:
        made.append(assemble(*arguments, **named))
        return made[-1]

    monkeypatch.setattr(agent_module, "assemble", listening)
    yield made


@pytest.mark.parametrize("game", PLAYABLE)
def test_the_prompts_are_those_of_a_seat_that_plays_the_same_game(
    game: str, loaded: LoadedModel, assembled: list[Prompt]
) -> None:
    persona = PERSONAS.get(game)
    maker = maker_of(game, persona=persona, wander=(0.3,))
    env = make_env(game, 11, **OPTIONS.get(game, {}))
    num_turns = num_histories = 0
    with Seat(game, loaded, pool_mib=16, persona=persona) as seat:
        for decision in maker.play(env, Random(5)):
            agent = decision.view.agent
            assert seat.act(env, agent) is not None
            assert texts(assembled[-1]) == texts(decision.prompt)
            seat.note(env, agent, decision.done)
            num_turns += 1
            num_histories += any(block.name.startswith("history/") for block in decision.prompt.blocks)
            if num_turns == MOST_TURNS:
                break
    assert len(assembled) == num_turns >= 2
    assert bool(num_histories) == bool(maker.game.history_turns)


@pytest.mark.parametrize("game", PLAYABLE)
def test_an_answer_is_the_experts_and_one_of_those_listed(game: str) -> None:
    maker, expert = maker_of(game, wander=(0.5,)), load_expert(game, 3)
    env = make_env(game, 12, **OPTIONS.get(game, {}))
    wandered = 0
    for number, decision in enumerate(maker.play(env, Random(6))):
        assert decision.right == expert.choose(env, decision.view.agent)
        wandered += decision.done != decision.right
        if number == MOST_TURNS:
            break
    assert wandered or number < 4
    sample = maker.sample(0)
    (ask,) = sample.asks
    assert ask.target == ask.answer and ask.answer in ask.actions
    assert ask.chance == (1 + len(ask.also)) / len(ask.actions) and {*ask.also} <= {*ask.actions} - {ask.target}
    assert all(f"\n{action}\n" in ask.observation for action in ask.actions)
    assert (sample.game, sample.split, sample.anchor) == (game, "train", maker.game.anchor.text)


@pytest.mark.parametrize("game", ["leduc", "tic_tac_toe"])
def test_a_sample_depends_on_recipe_and_number_alone(game: str) -> None:
    forward = [maker_of(game).sample(number) for number in range(12)]
    maker = maker_of(game)
    assert [maker.sample(number) for number in reversed(range(12))] == forward[::-1]
    assert [maker_of(game, wander=(0.4,)).sample(number) for number in range(12)] != forward


@pytest.mark.parametrize("game", ["tic_tac_toe", "connect_four", "leduc"])
def test_actions_that_the_expert_values_as_much_as_its_own_are_as_right(game: str) -> None:
    maker = maker_of(game)
    asks = [ask for number in range(48) for ask in maker.sample(number).asks]
    assert any(ask.also for ask in asks) and any(not ask.also for ask in asks)
    if game == "tic_tac_toe":
        start = next(ask for ask in asks if len(ask.actions) == 9)
        assert len(start.also) == 8 and start.chance == 1, "it is a draw from every square"


def test_no_two_splits_and_no_two_episodes_share_a_seed() -> None:
    makers = {split: maker_of("tic_tac_toe", split=split) for split in SPLITS}
    seeds = {split: [maker.episode_seed(number, 0) for number in range(300)] for split, maker in makers.items()}
    for place, split in enumerate(SPLITS):
        assert {seed % 3 for seed in seeds[split]} == {place}
        assert len(set(seeds[split])) == 300
        assert max(seeds[split]) < 2**31


@pytest.mark.parametrize("game", ["tic_tac_toe", "leduc"])
def test_no_position_is_in_two_splits_whatever_else_they_were_made_with(game: str) -> None:
    found: dict[str, set[Any]] = {}
    makers = {
        "train": [recipe_of(game, wander=(wander,)).maker() for wander in (0.1, 0.6)],
        "validation": [replace(recipe_of(game, split="validation", wander=(0.4,), persona="mixed"), seed=4).maker()],
        "test": [recipe_of(game, split="test", wander=(0.4,), turns=5).maker()],
    }
    for split, made in makers.items():
        samples = [maker.sample(number) for maker in made for number in range(160)]
        assert {sample.split for sample in samples} == {split}
        found[split] = {(without_persona(sample.blocks), sample.asks[0].observation) for sample in samples}
    assert not found["train"] & found["test"] and not found["train"] & found["validation"]
    assert not found["validation"] & found["test"]
    assert len(found["train"]) > 100 and min(len(found["validation"]), len(found["test"])) > 5


def without_persona(blocks: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(block for block in blocks if not block[0].startswith("persona"))


def test_a_game_that_never_comes_to_positions_of_a_split_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(games, "_MOST_EPISODES", 1)
    monkeypatch.setattr(games, "split_of", lambda prompt: "train")
    with pytest.raises(BadArgument, match="20 episodes of tic_tac_toe gave 180 decisions.*, 0 of .* test.*wander more"):
        maker_of("tic_tac_toe", split="test", wander=(0.0,)).sample(0)
    monkeypatch.setattr(GamesMaker, "play", lambda self, env, random: iter(()))
    with pytest.raises(BadArgument, match="1 episodes of tic_tac_toe gave 0 decisions together"):
        maker_of("tic_tac_toe", split="test").sample(0)


def test_a_file_is_the_same_from_one_process_and_from_two_and_is_read_back(tmp_path: Path) -> None:
    recipe = recipe_of("tic_tac_toe", turns=4)
    write_samples(recipe, 160, tmp_path / "one.jsonl.gz")
    write_samples(recipe, 160, tmp_path / "two.jsonl.gz", workers=2)
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()
    maker = recipe.maker()
    assert list(read_samples(tmp_path / "one.jsonl.gz")) == [maker.sample(number) for number in range(160)]
    arguments = read_header(tmp_path / "one.jsonl.gz").arguments
    assert arguments["game"] == "tic_tac_toe" and arguments["positions"] == {"train": 90, "validation": 5, "test": 5}


def test_with_each_once_a_file_has_no_position_twice_and_the_first_of_each(tmp_path: Path) -> None:
    recipe = recipe_of("leduc", wander=(0.1, 1.0), persona="mixed", each_once=True)
    tally = write_samples(recipe, 200, tmp_path / "once.jsonl.gz", each_once=True)
    write_samples(recipe, 200, tmp_path / "two.jsonl.gz", each_once=True, workers=2)
    assert (tmp_path / "once.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()
    maker = recipe.maker()
    first: dict[Any, Any] = {}
    for number in range(200):
        sample = maker.sample(number)
        first.setdefault((without_persona(sample.blocks), sample.asks[0].observation), sample)
    assert list(read_samples(tmp_path / "once.jsonl.gz")) == list(first.values())
    assert tally.num_samples == len(first) < 200
    assert read_header(tmp_path / "once.jsonl.gz").arguments["each_once"] is True


def test_of_several_shares_of_mistakes_each_agent_of_an_episode_draws_one() -> None:
    maker, kinds = maker_of("tic_tac_toe", wander=(0.0, 1.0)), set()
    for seed in range(40):
        env = make_env("tic_tac_toe", seed)
        erred = dict.fromkeys(env.possible_agents, False)
        for decision in maker.play(env, Random(seed)):
            erred[decision.view.agent] |= decision.done != decision.right
        kinds.add(tuple(erred.values()))
    assert kinds == {(False, False), (False, True), (True, False), (True, True)}


def test_a_game_that_is_shorter_than_its_decisions_is_followed_by_another() -> None:
    maker = maker_of("leduc", turns=16)
    assert len({maker.sample(number).blocks for number in range(16)}) > 8


@pytest.mark.parametrize(
    ("recipe", "error", "hint"),
    [
        (Games("chess"), NoExpert, "texas_holdem"),
        (Games("leduc", wander=(2.0,)), BadArgument, "no probability"),
        (Games("leduc", wander=()), BadArgument, "no probability"),
        (Games("leduc", turns=0), BadArgument, "none"),
        (Games("leduc", persona="nobody"), BadArgument, "it has gambler, rock"),
        (Games("camp", (("ticks", 0),)), BadOption, "at least 1"),
        (Games("leduc", split="exam"), BadArgument, "train, validation, test"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_played_is_refused_before_a_game_is(recipe: Games, error: type[Exception], hint: str) -> None:
    with pytest.raises(error, match=hint):
        recipe.maker()


def test_mixed_personas_are_drawn_for_each_agent() -> None:
    maker = maker_of("leduc", persona="mixed")
    found = {
        next((name for name, _ in maker.sample(number).blocks if name.startswith("persona")), None)
        for number in range(0, 240, 8)
    }
    assert None in found and len(found) == 1 + len(maker.game.personas)


class Broken(TicTacToe):
    """Its code raises where the match is described, or where somebody's sight is."""

    def __init__(self, broken: str) -> None:
        self._broken = broken

    def describe_match(self, env: Any) -> Any:
        return 1 / 0 if self._broken == "describe_match" else super().describe_match(env)

    def describe(self, env: Any, agent: str) -> Any:
        return super().describe_match(env)

    def sight(self, agent: str) -> Any:
        return {"sight": 1 / 0 if self._broken == "sight" else (), "number": 7}.get(self._broken, ())


@pytest.mark.parametrize(
    ("broken", "error", "hint"),
    [
        ("describe_match", GameCodeFailed, "describe_match for 'player_1' of tic_tac_toe raised ZeroDivisionError"),
        ("sight", GameCodeFailed, r"sight\('player_1'\) of tic_tac_toe raised ZeroDivisionError"),
        ("number", BadWords, "a tuple of patterns is wanted"),
    ],
)
def test_a_games_own_code_that_raises_is_named(
    broken: str, error: type[Exception], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(games, "load_contract", lambda game: Broken(broken))
    with pytest.raises(error, match=hint):
        maker_of("tic_tac_toe").sample(0)


def test_the_command_writes_what_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "games.jsonl"
    asked = ["data", "games", "--game", "camp", "--option", "ticks=4", "--episodes", "3", "--turns", "5"]
    asked += ["--wander", "0.1,0.5"]
    done = CliRunner().invoke(app, [*asked, "--split", "test", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    samples = list(read_samples(out))
    assert len(samples) == 15 and {sample.split for sample in samples} == {"test"}
    assert samples[0].family == "camp/4"
    assert any(name.startswith("history/") for sample in samples for name, _ in sample.blocks)


def test_shares_of_mistakes_that_are_none_are_refused() -> None:
    done = CliRunner().invoke(app, ["data", "games", "--game", "leduc", "--out", "x", "--wander", "0.1,often"])
    assert done.exit_code == 2 and "neither a share nor a list" in done.output


def test_every_expert_has_a_game_to_sample() -> None:
    assert all(load_adapter(game).game == game for game in EXPERTS)
