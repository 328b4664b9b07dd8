"""For designers: how a game's rules cut its states, frame by frame, and what would cut them better.

frames     states from a file or a recording
tokens     how many tokens texts have, without weights
course     what the frames do to the blocks, and what turns would cost
advice     what to write into game.toml, tried on the same frames; `rule_changes` is what it may try
report     all of it for a terminal and for programs
page       all of it as one HTML file
"""
