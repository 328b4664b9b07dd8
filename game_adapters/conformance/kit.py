"""All checks of a game, one after the other."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from game_adapters.adapter import GameContract, PettingZooAdapter
from game_adapters.conformance import checks, word_checks
from game_adapters.conformance.checks import Check, Material, NotChecked
from game_adapters.conformance.playing import MakeEnv, Player
from game_adapters.conformance.report import Finding, Report
from game_adapters.errors import GameAdapterError, UnknownGame
from game_adapters.registry import game_folder, known_names, load_contract
from prompts import Game, PromptsError, load_game

SEEDS = (0, 1, 2)
TURNS = 60
_CHARACTERS_PER_TOKEN = 3

CHECKS: Mapping[str, Callable[[Material], Check]] = MappingProxyType(
    {
        "folder": word_checks.check_folder,
        "turns": checks.check_turns,
        "mask": checks.check_mask,
        "names": checks.check_names,
        "state": checks.check_state,
        "seeds": checks.check_seeds,
        "looking": checks.check_looking,
        "sight": checks.check_sight,
        "hidden": checks.check_hidden,
        "text": word_checks.check_text,
        "segments": word_checks.check_segments,
        "patch": word_checks.check_patch,
        "tokens": word_checks.check_tokens,
    }
)


def check_game(
    game: str | GameContract,
    make: MakeEnv | None = None,
    *,
    folder: Path | None = None,
    seeds: Sequence[int] = SEEDS,
    num_turns: int = TURNS,
    count_tokens: Callable[[str], int] | None = None,
    context: int | None = None,
) -> Report:
    """Check a game: a name, `module:Class`, or a contract.

    `make` returns a live environment, reset with the seed; without it the class's own `make_env` does. `folder` is the
    game folder, if it is not the class's own. Games are played under each of the `seeds`, for about `num_turns` turns
    each. `count_tokens` is a tokenizer's count (default: a third of the characters), `context` the model's length.

    Raises UnknownGame, GameCodeFailed and what else keeps the class from being loaded; what is wrong with the game
    itself is in the report.
    """
    contract = load_contract(game) if isinstance(game, str) else game
    name = game if isinstance(game, str) else type(game).__name__
    make = make or getattr(contract, "make_env", None)
    if make is None:
        raise UnknownGame(name, known_names(), "its class has no make_env, and no other way to make one was given")
    player = Player(PettingZooAdapter(name, contract), make)
    loaded, refused = _load(contract, folder)
    material = Material(
        player,
        [player.play(seed, num_turns) for seed in seeds],
        loaded,
        count_tokens or _estimated,
        context,
        is_exact=count_tokens is not None,
    )
    findings = []
    for check, run in CHECKS.items():
        if check == "folder" and refused is not None:
            findings.append(Finding(check, "failed", refused))
        elif check not in ("folder", "turns") and not any(played.moments for played in material.games):
            failed = _failures(run, material)[0] if check in ("mask", "names", "state") else []
            findings.append(
                Finding(check, "failed", failed[0]) if failed else Finding(check, "not checked", "no turn was played")
            )
        else:
            findings.append(_finding(check, run, material))
    advice = [Finding("advice", "advice", sentence) for sentence in dict.fromkeys(material.advice)]
    num_turns_played = sum(len(played.turns) for played in material.games)
    return Report(name, len(material.games), num_turns_played, tuple([*findings, *advice]))


def _finding(check: str, run: Callable[[Material], Check], material: Material) -> Finding:
    try:
        failures, seen = _failures(run, material)
    except NotChecked as reason:
        return Finding(check, "not checked", str(reason))
    if not failures:
        return Finding(check, "ok", seen)
    more = f" ({len(failures) - 1} more like this)" if len(failures) > 1 else ""
    return Finding(check, "failed", failures[0] + more)


def _failures(run: Callable[[Material], Check], material: Material) -> tuple[list[str], str]:
    """All that a check finds wrong, and what it has seen; an error of the game on the way is a failure too."""
    failures: list[str] = []
    going = run(material)
    try:
        while True:
            failures.append(next(going))
    except StopIteration as end:
        return failures, str(end.value)
    except (GameAdapterError, PromptsError) as error:
        return [*failures, str(error)], ""


def _load(contract: GameContract, folder: Path | None) -> tuple[Game | None, str | None]:
    try:
        return load_game(folder or game_folder(contract)), None
    except (GameAdapterError, PromptsError) as error:
        return None, str(error)


def _estimated(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)
