"""The commands of `hotseat`, a module each. Flags map one to one to settings; what a command does lives in its package.

Heavy imports happen inside the commands, so that `--help` answers at once. What they print is here too, where it is
more than a line: `store_tables`, `replay_output`.
"""
