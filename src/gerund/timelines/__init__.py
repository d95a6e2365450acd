"""Which action happens when, and the numbers of it: timelines, their files, pictures and cuts, statistics, agreement, how good they are.

Begin with `timeline`; numbers begin with `observations`, whatever they are of, and `stats`.
"""
