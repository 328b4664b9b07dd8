"""Text of prompts: a game's folder, its JSON state cut into blocks, history, and the assembly of it all.

A game is a folder (ours lie in `prompts/templates/`, a studio's anywhere):

    camp/
      game.toml            names, and the rules that cut the state into blocks
      rules.md             the anchor: plain text, never a template
      personas/warden.md   any number, plain text; the file's name is the persona's name
      unit.md              block templates, named by `render` in game.toml
      observation.md       optional template: the live end of every prompt (default: `prompts/defaults/observation.md`)
      history.md           optional template: one finished turn (default: `prompts/defaults/history.md`)

`game.toml`, every key that exists; an unknown one is an error with file and line:

    name = "camp"                 # the folder's name
    title = "The Camp"            # default: the name
    history_turns = 4             # how many finished turns a session remembers by default (0: none, the default)
    length_normalised = false     # divide an answer's log-probability by its tokens (default false)

    [[segment]]                   # in order: the first rule that matches a path takes the subtree there
    match = "/units/*"            # JSON Pointer (~0 and ~1 as in RFC 6901); `*` is one step, `**` any number, also none
    name = "unit/{key}"           # {key}: what the last `*` stands for, its identity; {1}, {2}: the 1st, the 2nd `*`
    key = "id"                    # optional: the field that names the members of arrays on the way
    render = "unit.md"            # optional: a template; without it the block is canonical compact JSON
    order = 30                    # optional: smaller comes earlier in the prompt (default 0, then as the rules stand)
    max_tokens = 120              # optional: a longer block is split; `prompts.writer` says how

    [[live]]                      # taken out of the blocks and handed to the observation, checked before every segment
    match = "/clock"

Put what seldom changes at a small `order`: that is what the honest prefix baseline can reuse.

**Templates** are Jinja, sandboxed; an undefined name is an error with file and line. What they print is text as it is,
and JSON for everything else (`true`, `null`, `{"x":1}`); `value.items` is the member "items" if there is one, and
members come in sorted order. Values are data: template syntax or chat markers inside them are only text.

    block        value (the subtree), key, path              its first line, the path, is put before it
    observation  text, live, actions, last_failure, persona  `live` is nested as the state was: live.clock; `actions`
                                                             are pairs: {% for answer, explanation in actions %}
    history      turn_id, frame, observation, action, ok, message, reward
                                                             its first line, history/12, is put before it

An observation template must list the answers exactly as given: they are what the model has to write.

`{% include "parts/wounds.md" %}` puts in another template of the same folder, which may use the names that this one
may; `{% from "macros.md" import bar %}` takes a macro from it, which sees what it is handed and nothing else. Files
are named by their path in the folder, in quotes; none outside of it is read, and a circle is refused with its files.

**Cutting.** A rule takes the whole subtree at a path it matches, except what an earlier rule (or a live one) matches
inside it: write the more specific rule first. What no rule takes goes to a block `rest/<member>` for each member of the
state, last in the prompt, with a warning. A block's text begins with its path, in which an array member that has an
identity is named by it and never by its position, so that inserting or moving a member changes no other block.
"""

from prompts.assembly import ObservationInput, assemble
from prompts.block import Block, Prompt
from prompts.errors import PromptsError
from prompts.game import Game, find_games, load_game
from prompts.patch import apply_patch
from prompts.state_blocks import StateBlocks

__all__ = [
    "Block",
    "Game",
    "ObservationInput",
    "Prompt",
    "PromptsError",
    "StateBlocks",
    "apply_patch",
    "assemble",
    "find_games",
    "load_game",
]
