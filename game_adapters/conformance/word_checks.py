"""The checks of what a game folder makes of the states: blocks, their names, patches, tokens."""

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from statistics import median

import jsonpatch

from game_adapters.adapter import TurnView
from game_adapters.conformance.checks import Check, Material, NotChecked
from game_adapters.conformance.playing import Played
from game_adapters.game_state import Json, pointer_label
from prompts import Block, Game, ObservationInput, Prompt, PromptsError, StateBlocks, apply_patch, assemble
from prompts.json_text import canonical

_MOST_PAIRS = 60
_REST = "No rule in game.toml takes"


@dataclass(frozen=True, slots=True)
class Course:
    """The states that one match takes, one after the other, each with its place in words."""

    states: tuple[Json, ...]
    places: tuple[str, ...]

    def steps(self) -> Iterator[tuple[Json, Json, str]]:
        """Each state with the one before it, and its place."""
        yield from zip(self.states, self.states[1:], self.places[1:], strict=False)


def courses(material: Material) -> Iterator[Course]:
    """What the matches of all games see: one for each game if its agents share a state, else one for each agent."""
    for played in material.games:
        for agents in _matches(material, played):
            turns = [(number, seen) for number, seen in played.turns if seen.view.agent in agents]
            yield Course(
                tuple(seen.match_state for _, seen in turns),
                tuple(f"seed {played.seed}, step {number}" for number, _ in turns),
            )


def _matches(material: Material, played: Played) -> list[list[str]]:
    agents = list(dict.fromkeys(seen.view.agent for _, seen in played.turns))
    return [agents] if material.player.shared is not None else [[agent] for agent in agents]


def check_folder(material: Material) -> Check:
    """The rules take every part of the states, and the templates can be filled in."""
    game = _folder(material)
    material.advice.extend(game.warnings)
    num_blocks = set()
    for course in courses(material):
        blocks = StateBlocks(game, material.count.block)
        for state, place in zip(course.states, course.places, strict=True):
            try:
                blocks.replace(state)
            except PromptsError as error:
                yield f"{error} ({place})"
                break
            num_blocks.add(len(blocks.blocks))
        material.advice.extend(warning for warning in blocks.warnings if warning.startswith(_REST))
    for played, number, seen in material.turns():
        try:
            _prompt(material, game, seen.view)
        except PromptsError as error:
            yield f"{error} (seed {played.seed}, step {number})"
            break
    return f"{_span(num_blocks or {0})} block{'' if num_blocks == {1} else 's'} in {game.folder}"


def check_text(material: Material) -> Check:
    """The words change if the state does. (Only if: templates have nothing but the state to depend on.)"""
    game, num_changes = _folder(material), 0
    for course in courses(material):
        for before, after, place in list(course.steps())[:_MOST_PAIRS]:
            try:
                words = _words(material, game, before)
                for pointer, changed in changes_alone(before, after):
                    num_changes += 1
                    if _words(material, game, changed) == words:
                        yield (
                            f"{place}: a change at {pointer or 'the root'} is lost in words. Write it into the "
                            "template that renders this part, or take it out of describe."
                        )
            except PromptsError:
                continue  # a folder that cannot say a state fails the check of folders
    return f"{num_changes} changes of the state, each told in words"


def changes_alone(before: Json, after: Json, pointer: str = "") -> Iterator[tuple[str, Json]]:
    """What differs between two states, one object or array at a time: its JSON Pointer, and the state before with
    nothing else changed. Members keep their order, for blocks may stand as the state has them."""
    if not _are_objects(before, after):
        if canonical(before) != canonical(after):
            yield pointer, after
        return
    deeper = [key for key in before if _are_objects(before[key], after.get(key))]
    own = {key: value for key, value in after.items() if key not in deeper}
    changed = {**{key: before[key] for key in before if key in after}, **own}
    if canonical(changed) != canonical(before):
        yield pointer, changed
    for key in deeper:
        for place, inner in changes_alone(before[key], after[key], f"{pointer}/{pointer_label(key)}"):
            yield place, {**before, key: inner}


def _are_objects(one: Json, other: Json) -> bool:
    return isinstance(one, dict) and isinstance(other, dict)


def check_segments(material: Material) -> Check:
    """One thing keeps one block's name, and no two share one."""
    game = _folder(material)
    names: set[str] = set()
    for course in courses(material):
        blocks = StateBlocks(game, material.count.block)
        before: tuple[Block, ...] = ()
        renamed: Counter[str] = Counter()
        for number, (state, place) in enumerate(zip(course.states, course.places, strict=True)):
            try:
                blocks.replace(state)
            except PromptsError:
                break
            if number:
                yield from (f"{place}: {sentence}" for sentence in _shifted(before, course.states[number - 1], state))
                renamed.update(_renamed(before, blocks.blocks))
            before = blocks.blocks
            names.update(block.name for block in before)
        for stem, count in renamed.items():
            if count >= 3 and 2 * count >= len(course.states) - 1:
                yield (
                    f"blocks named {stem!r} get other names at {count} of {len(course.states) - 1} steps and say what "
                    "they said before. Name members of an object by what stays the same."
                )
        yield from (warning for warning in blocks.warnings if not warning.startswith(_REST))
    return f"{len(names)} names, each for one thing"


def _shifted(blocks: Sequence[Block], before: Json, after: Json) -> Iterator[str]:
    """Arrays that are cut by position, and in which members moved up or down because another came or went."""
    for block in blocks:
        one, other, pointer = before, after, ""
        for label in block.text.partition("\n")[0].split("/")[1:]:
            if isinstance(one, list) and isinstance(other, list):
                if label.isdigit() and _has_shift(one, other):
                    yield (
                        f"the members of {pointer} are known by their place ({block.name!r}) and moved when one came "
                        "or went. Name them by a field: `key` in the segment rule."
                    )
                    return
                break
            if not _are_objects(one, other) or label not in one or label not in other:
                break
            one, other, pointer = one[label], other[label], f"{pointer}/{label}"


def _has_shift(one: list[Json], other: list[Json]) -> bool:
    """Whether an object that there is but once changed its place; of plain values, whether some went or came between
    others that stayed. (The cells of a board change where they are.)"""
    places = [{canonical(value): index for index, value in enumerate(array)} for array in (one, other)]
    counts = [Counter(map(canonical, array)) for array in (one, other)]
    for text in places[0].keys() & places[1].keys():
        if text.startswith("{") and counts[0][text] == counts[1][text] == 1 and places[0][text] != places[1][text]:
            return True
    short, long = sorted(([canonical(value) for value in array] for array in (one, other)), key=len)
    rest = iter(long)
    return len(short) < len(long) and long[: len(short)] != short and all(value in rest for value in short)


def _renamed(before: Sequence[Block], now: Sequence[Block]) -> set[str]:
    """The stems of names of which all went and others came that say the same."""
    names_before, names_now = {block.name for block in before}, {block.name for block in now}
    stems: set[str] = set()
    for stem in {_stem(name) for name in names_before - names_now}:
        gone = sorted(_body(block) for block in before if _stem(block.name) == stem)
        come = sorted(_body(block) for block in now if _stem(block.name) == stem)
        kept = {name for name in names_before & names_now if _stem(name) == stem}
        if not kept and gone == come:
            stems.add(stem)
    return stems


def _body(block: Block) -> str:
    return block.text.partition("\n")[2]


def _stem(name: str) -> str:
    """A name up to its last part: what its rule calls all of its blocks."""
    return name.rpartition("/")[0] or name


def check_patch(material: Material) -> Check:
    """A patch between two states does what the whole state does."""
    game, num_patches = _folder(material), 0
    for course in courses(material):
        if not course.states:
            continue
        whole, patched = StateBlocks(game, material.count.block), StateBlocks(game, material.count.block)
        try:
            whole.replace(course.states[0])
            patched.replace(course.states[0])
        except PromptsError:
            continue
        state = course.states[0]
        for before, after, place in course.steps():
            operations = jsonpatch.make_patch(before, after).patch
            try:
                told = whole.replace(after)
                state = apply_patch(state, operations)
                change = patched.patch(operations, state)
            except PromptsError:
                break
            num_patches += 1
            same = (change.added, change.replaced, change.removed) == (told.added, told.replaced, told.removed)
            if not same or patched.blocks != whole.blocks or patched.live != whole.live:
                yield (
                    f"{place}: after a patch the blocks are others than after the whole state. That is a fault of "
                    "Hotseat's, not of the game: report the two states, and send whole ones until it is mended."
                )
                break
    return f"{num_patches} patches did what the whole state does"


def check_tokens(material: Material) -> Check:
    """Blocks and prompts fit the model's context."""
    game = _folder(material)
    sizes: dict[str, int] = {}
    longest = 0
    for played, number, seen in material.turns():
        try:
            prompt = _prompt(material, game, seen.view)
        except PromptsError:
            continue
        tokens = [
            material.count.anchor(prompt.anchor.text),
            *(material.count.block(block.text) for block in prompt.blocks),
            material.count.observation(prompt.observation),
        ]
        sizes.update(zip((block.name for block in prompt.blocks), tokens[1:-1], strict=True))
        longest = max(longest, sum(tokens))
        if material.context is not None and sum(tokens) > material.context:
            parts = ("the rules", *(block.name for block in prompt.blocks), "the observation")
            size, name = max(zip(tokens, parts, strict=True))
            yield (
                f"seed {played.seed}, step {number}: the prompt has {sum(tokens):,} tokens, and the model's context "
                f"ends at {material.context:,}. The largest part is {name!r} with {size:,}. Shorten what is long."
            )
    about = "" if material.is_exact else "about "
    limit = f" of {material.context:,}" if material.context is not None else ""
    if not sizes:
        return f"no blocks; a prompt of up to {about}{longest:,} tokens{limit}"
    largest_name = max(sizes, key=sizes.__getitem__)
    return (
        f"blocks of {about}{_span(set(sizes.values()))} tokens (median {median(sizes.values()):g}, "
        f"the largest {largest_name!r}); a prompt of up to {about}{longest:,} tokens{limit}"
    )


def _span(numbers: Set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _folder(material: Material) -> Game:
    if material.folder is None:
        raise NotChecked("there is no game folder that loads")
    return material.folder


def _words(material: Material, game: Game, state: Json) -> tuple[tuple[str, ...], str]:
    """All that a prompt says of a state. Raises PromptsError."""
    blocks = StateBlocks(game, material.count.block)
    blocks.replace(state)
    return tuple(block.text for block in blocks.blocks), canonical(blocks.live)


def _prompt(material: Material, game: Game, view: TurnView) -> Prompt:
    """The prompt of a turn without history. Raises PromptsError."""
    blocks = StateBlocks(game, material.count.block)
    blocks.replace(view.state)
    actions = [(offer.id, offer.text) for offer in view.actions]
    observation = ObservationInput(view.observation_text, blocks.live, actions)
    return assemble(game, persona=None, state=blocks, private=(), history=(), observation=observation)
