"""An agent that is one of another server, by A2A; its address and its token are in the environment."""

import os

from understudy import Agent
from understudy.extensions.remote.remote import Remote

token = os.environ.get("A2A_TEST_TOKEN")
headers = {"Authorization": f"Bearer {token}"} if token else {}
agent = Agent("abroad", remote=Remote(os.environ["A2A_TEST_REMOTE"], protocol="a2a", headers=headers))
