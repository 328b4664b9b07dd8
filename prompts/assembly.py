"""A prompt from its parts. It depends on nothing but them: not on time, nor on what was cached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prompts.block import Block, Lifetime, Prompt, Role
from prompts.game import Game
from prompts.json_text import Json, label_text, writable
from prompts.rendering import render
from prompts.state_blocks import StateBlocks


@dataclass(frozen=True, slots=True)
class ObservationInput:
    """What the live end of a prompt is made of.

    `actions` are pairs of what the model must write and an explanation, which may be empty; `last_failure` is what the
    game said to the agent's last action if it refused it.
    """

    text: str
    live: Mapping[str, Json] = field(default_factory=dict)
    actions: Sequence[tuple[str, str]] = ()
    last_failure: str | None = None
    persona_name: str | None = None


def assemble(
    game: Game,
    *,
    persona: Block | None,
    state: StateBlocks | tuple[Block, ...],
    private: Sequence[Block],
    history: Sequence[Block],
    observation: ObservationInput,
) -> Prompt:
    """The prompt of one turn: state, persona, private blocks, history as given (oldest first), observation.

    Raises TemplateFailed.
    """
    state_blocks = state.blocks if isinstance(state, StateBlocks) else state
    personas = () if persona is None else (persona,)
    text = render(
        game.observation,
        "the observation",
        text=observation.text,
        live=dict(observation.live),
        actions=tuple(observation.actions),
        last_failure=observation.last_failure,
        persona=observation.persona_name,
    )
    return Prompt(game.anchor, (*state_blocks, *personas, *private, *history), f"{text}\n")


def private_block(name: str, text: str) -> Block:
    """A block that a client put into one session."""
    name = f"private/{label_text(name)}"
    return Block(name, f"{name}\n{writable(text).rstrip()}\n", Role.PRIVATE, Lifetime.SESSION)
