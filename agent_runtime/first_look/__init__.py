"""For a first look: one turn without a game, what was recorded, and what this machine can do.

question   a turn as a person types it
asking     one turn asked of one state
answer     what came out of it, for a terminal and for programs
turn_log   the turns of a recording, one after another
findings   what a check found, and the worst of it
machine    packages, devices, models, folders and ports
rates      how fast blocks are encoded, loaded and tokens decoded here
"""
