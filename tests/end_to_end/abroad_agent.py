"""An agent that is one of another server, by A2A; its address is in the environment."""

import os

from understudy import Agent
from understudy.agents.remote.remote import Remote

ADDRESS = "A2A_TEST_REMOTE"
agent = Agent("abroad", remote=Remote(os.environ[ADDRESS], protocol="a2a"))
