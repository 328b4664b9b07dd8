"""Recordings of matches as they went over the wire, and playing them again.

recording                writes them, as the server's recorder
recording_format         what is in them, and reading them back, one line at a time
answers, steps           what a recording asks of a runtime, and what it was answered
lanes, replayer          the same questions to a runtime again, in several modes at once
lane_stores, store_kind  the stores that lanes begin with
load                     the same questions to a running server, at a pace and many at once
origin                   what a recording was made with against what plays it
samples, strips          what is kept of a turn, in little room
figures, traffic         distributions and ratios, each with what makes it worth something; what a server let through
report, table, page      what all that measured, for programs, for people, and for a browser
metrics, conditions      the figures by name, and what `--fail-if` asks of them
saved_report, difference two reports compared
"""
