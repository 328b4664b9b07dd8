"""What is worth knowing of a course and needs no trial."""

import difflib
from collections.abc import Collection, Iterator

from agent_runtime.designer.advice import Advice, Rules, share
from agent_runtime.designer.course import Course
from agent_runtime.designer.rule_changes import segment_toml
from agent_runtime.designer.tokens import TokenCounter


def rest(course: Course, now_live: Collection[str]) -> Iterator[Advice]:
    """Yield what no rule takes, but for what was advised to be live."""
    for family in course.families:
        if family.is_rest and family.match not in now_live:
            what = f"`{family.name}` is not matched by any rule: it stands at the end of every prompt"
            sentence = (
                f"{what} with {family.tokens_of_all(len(course.frames)):.0f} tokens and changed in {share(family)}."
            )
            if not family.match:
                yield Advice("rest", family.name, f"{sentence} Give its parts rules of their own.")
                continue
            toml = segment_toml(family.match, family.name.removeprefix("rest/"))
            yield Advice("rest", family.name, f"{sentence} Give it a rule.", toml)


def unused(course: Course) -> Iterator[Advice]:
    """Yield the rules that take nothing."""
    state = course.file.frames[-1].state
    for index, (rule, place) in enumerate(Rules(course.game).with_places()):
        if index in course.used_rules:
            continue
        hint = ""
        first = rule.pattern[0] if rule.pattern else None
        if isinstance(first, str) and isinstance(state, dict) and first not in state:
            near = difflib.get_close_matches(first, state, n=1)
            hint = f" The state has no member {first!r}." + (f" Did you mean {near[0]!r}?" if near else "")
        sight = " under this sight" if course.sight else ""
        sentence = f"The rule {rule.match!r} takes nothing in any frame{sight}.{hint}"
        yield Advice("unused", rule.match, sentence, place=place)


def beyond_the_context(course: Course, counter: TokenCounter) -> Iterator[Advice]:
    """Yield the first prompt that is too long for the model."""
    if course.beyond is None:
        return
    number, tokens, names = course.beyond
    shown = ", ".join(f"`{name}`" for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    yield Advice(
        "context",
        names[0] if names else "observation",
        f"The prompt of frame {number} has {tokens:,} tokens, without persona, history and answers, and the "
        f"model's context ends at {counter.context:,}. Beyond it: {shown or 'the observation'}. "
        "Narrow the sight, cut the state shorter, or serve a model with a longer context.",
    )


def split_by_max_tokens(course: Course) -> Iterator[Advice]:
    """Yield what max_tokens cuts into several blocks."""
    rules = Rules(course.game)
    for family in course.families:
        rule = rules.of(family)
        if rule.max_tokens is not None and family.split_parts:
            parts, whole = len(family.split_parts), len(family.all_parts)
            sentence = (
                f"max_tokens = {rule.max_tokens} splits {parts} of the {whole} parts of `{family.name}`, one of "
                f"them into {family.most_blocks} blocks. They are read apart from each other in block modes."
            )
            yield Advice("max_tokens", family.name, sentence, place=rules.place(family, "max_tokens"))


def hidden_live(course: Course) -> Iterator[Advice]:
    """Yield a live rule that takes something which the observation never shows."""
    rules = course.game.live_rules
    if not rules or not course.used_rules & set(range(len(rules))):
        return
    file = course.game.folder / "observation.md"
    if file.is_file() and "live" not in file.read_text(encoding="utf-8-sig"):
        yield Advice(
            "hidden_live",
            "observation.md",
            "There are live rules, and observation.md shows nothing of `live`: no agent ever sees what they take. "
            "Print it, as {{ live.clock }}, or remove them.",
            place=str(file),
        )


def too_few(course: Course) -> Advice:
    """What to say where nothing can be said about what is usual."""
    return Advice(
        "few",
        str(course.file.file),
        f"{'1 frame is' if len(course.frames) == 1 else f'{len(course.frames)} frames are'} too few to say what "
        "changes often. Record a match with `hotseat serve --record`, or write more states.",
    )


def game_warnings(course: Course) -> Iterator[Advice]:
    """Yield what reading the game's folder warned of."""
    for warning in course.game.warnings:
        yield Advice("warning", course.game.name, warning)


def state_warnings(course: Course) -> Iterator[Advice]:
    """Yield what cutting the states warned of."""
    for number, warning in course.warnings:
        if not warning.startswith("No rule in game.toml takes"):  # `rest` says that, with its figures
            yield Advice("warning", f"frame {number}", f"Frame {number}: {warning}")
