"""Recordings of matches as they went over the wire, and playing them again.

recording          writes them, as the server's recorder
recording_format   what is in them, and reading them back
steps              what a recording asks of a runtime
lanes, replayer    the same questions to a runtime again, in several modes at once
report, table      what that measured, for programs and for people
"""
