"""Random trees under random faults, thousands of times: `python -m tests.actors.stress`.

A round makes a random tree and does random things to it, in a simulation: every live actor must answer, every ask must
have ended, every message must have come to one end, and nothing may be left behind. Its seed decides all of it.
"""

from .rounds import play as play
