"""A recording played against a running server: how long its answers take, one match at a time or under load.

options         how it is to be played
script          a recording as messages to be sent, readable by any number of players
wire            one connection, and when everything on it happened
players, play   who plays, and how they play together
spare           what can wait until nothing has to be sent
tally           what was seen of it
replay          all of it, and the report
"""
