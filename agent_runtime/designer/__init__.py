"""For designers: how a game's rules cut its states, frame by frame, and what would cut them better.

frames     states from a file or a recording
tokens     how many tokens texts have, without weights
course     what the frames do to the blocks: `following` writes it down, `reckoning` says what turns would cost
adviser    what to write into game.toml: `live_advice`, `cut_advice` and `order_advice`, each piece of it one of the
           `rule_changes` in `trials` on the same frames; `remarks` need none
report     all of it for a terminal and for programs
page       all of it as one HTML file
"""
