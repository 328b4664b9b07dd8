"""All checks of a game, one after the other."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from game_adapters.adapter import GameContract, PettingZooAdapter
from game_adapters.conformance import checks, word_checks
from game_adapters.conformance.checks import Broken, Check, Material, NotChecked
from game_adapters.conformance.counting import Count, TokenCounts
from game_adapters.conformance.playing import MakeEnv, Player
from game_adapters.conformance.report import Finding, Report
from game_adapters.errors import GameAdapterError, GameCodeFailed, IncompleteGame
from game_adapters.game_state import class_name
from game_adapters.registry import MAKE_ENV, game_folder, load_contract
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
    count_tokens: Count | TokenCounts | None = None,
    context: int | None = None,
) -> Report:
    """Check a game: a name, `module:Class`, or a contract.

    `make` returns a live environment, reset with the seed; without it the class's own `make_env` does. `folder` is the
    game folder, if it is not the class's own. Games are played under each of the `seeds`, for about `num_turns` turns
    each. `count_tokens` is a tokenizer's count, of all parts alike or of each (default: a third of the characters);
    `context` is the model's length.

    Raises UnknownGame, IncompleteGame, GameCodeFailed and what else keeps the class from being loaded; what is wrong
    with the game itself is in the report.
    """
    contract = load_contract(game) if isinstance(game, str) else game
    name = game if isinstance(game, str) else class_name(type(game))
    make = make or getattr(contract, "make_env", None)
    if make is None:
        raise IncompleteGame(name, MAKE_ENV)
    player = Player(PettingZooAdapter(name, contract), make)
    loaded, refused = _load(contract, folder)
    material = Material(
        player,
        [player.play(seed, num_turns) for seed in seeds],
        loaded,
        count_tokens if isinstance(count_tokens, TokenCounts) else TokenCounts.alike(count_tokens or _estimated),
        context,
        is_exact=count_tokens is not None,
    )
    findings: list[Finding] = []
    told: dict[tuple[str, ...], str] = {}
    for check, run in CHECKS.items():
        if check == "folder" and refused is not None:
            findings.append(Finding(check, "failed", refused))
        elif check not in ("folder", "turns") and not any(played.moments for played in material.games):
            failed = _failures(run, material)[0] if check in ("mask", "names", "state") else []
            findings.append(
                Finding(check, "failed", str(failed[0]))
                if failed
                else Finding(check, "not checked", "no turn was played")
            )
        else:
            findings.append(_finding(check, run, material, told))
        if check == "turns":
            told |= {_cause(played.error): check for played in material.games if played.error is not None}
    advice = [Finding("advice", "advice", sentence) for sentence in dict.fromkeys(material.advice)]
    num_turns_played = sum(len(played.turns) for played in material.games)
    return Report(name, len(material.games), num_turns_played, tuple([*findings, *advice]))


def _finding(
    check: str, run: Callable[[Material], Check], material: Material, told: dict[tuple[str, ...], str]
) -> Finding:
    """Run a check. An error of the game that was `told` before, by its cause and check, is no finding of this one."""
    try:
        failures, seen = _failures(run, material)
    except NotChecked as reason:
        return Finding(check, "not checked", str(reason))
    if not failures:
        return Finding(check, "ok", seen)
    causes = [_cause(failure.error) for failure in failures if isinstance(failure, Broken)]
    before = next((told[cause] for cause in causes if cause in told), None)
    failures = [each for each in failures if not (isinstance(each, Broken) and _cause(each.error) in told)]
    told |= {cause: check for cause in causes if cause not in told}
    if not failures:
        return Finding(check, "not checked", f"what `{before}` found ended it; mend that first")
    more = f" ({len(failures) - 1} more like this)" if len(failures) > 1 else ""
    return Finding(check, "failed", f"{failures[0]}{more}")


def _cause(error: GameAdapterError) -> tuple[str, ...]:
    """What tells errors apart whatever they were met at: the place in the game's code, else the sentence."""
    if isinstance(error, GameCodeFailed):
        return type(error.error).__name__, error.place
    return (str(error),)


def _failures(run: Callable[[Material], Check], material: Material) -> tuple[list[str | Broken], str]:
    """All that a check finds wrong, and what it has seen; an error of the game on the way is a failure too."""
    failures: list[str | Broken] = []
    going = run(material)
    try:
        while True:
            failures.append(next(going))
    except StopIteration as end:
        return failures, str(end.value)
    except GameAdapterError as error:
        return [*failures, Broken(str(error), error)], ""
    except PromptsError as error:
        return [*failures, str(error)], ""


def _load(contract: GameContract, folder: Path | None) -> tuple[Game | None, str | None]:
    try:
        return load_game(folder or game_folder(contract)), None
    except (GameAdapterError, PromptsError) as error:
        return None, str(error)


def _estimated(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)
