"""What tuning came to: the same items in every mode, matches played alike, what was kept; reports united and compared.

evaluation, scoring     questions of sample files, answered under `conditions`
contests, playing       matches of every condition, its `standings`; what each of them gained (`gains`)
texts                   conversations, for what general ability was kept
reports, uniting        reports read, and parts of one made whole
comparing, curves       models side by side, paired by sample, as tables and plots; `comparing_games`, by match
"""
