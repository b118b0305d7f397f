"""The state of a run: one fold of its events and steps, the table that it follows, and what is read from it.

`state` is the fold, `transitions` its table, `records` what it knows of agents, calls, questions and steers. `turns`
encodes and decodes steps, `past` is what a resumed run has done, and `endings` the events that end a run.
"""
