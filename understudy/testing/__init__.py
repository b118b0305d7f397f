"""Tests agents without a server: runs them in the test's own process, with a model that plays a script.

`run_agent` and `open_session` use the same acceptance, filter, actors, tools and storage as a served message, on a
temporary database and without sockets. Nothing of the product imports this package.
"""

from understudy.testing.cassette import Cassette as Cassette
from understudy.testing.cassette import NotRecorded as NotRecorded
from understudy.testing.script import Call as Call
from understudy.testing.script import Gate as Gate
from understudy.testing.script import Hand as Hand
from understudy.testing.script import Raise as Raise
from understudy.testing.script import Say as Say
from understudy.testing.script import ScriptedModel as ScriptedModel
from understudy.testing.session import AgentRun as AgentRun
from understudy.testing.session import AgentSession as AgentSession
from understudy.testing.session import CallRecord as CallRecord
from understudy.testing.session import NotAnswered as NotAnswered
from understudy.testing.session import open_session as open_session
from understudy.testing.session import run_agent as run_agent

__all__ = [
    "AgentRun",
    "AgentSession",
    "Call",
    "CallRecord",
    "Cassette",
    "Gate",
    "Hand",
    "NotAnswered",
    "NotRecorded",
    "Raise",
    "Say",
    "ScriptedModel",
    "open_session",
    "run_agent",
]
