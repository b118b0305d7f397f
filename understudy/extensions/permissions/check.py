"""The check by `understudy doctor` of the permissions file."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.agents.agent import Agent
from understudy.agents.permissions import Permissions
from understudy.agents.registry import all_agents
from understudy.cli.check_result import CheckResult
from understudy.extensions.permissions.file import PermissionsFile
from understudy.extensions.permissions.rules import check_rules
from understudy.extensions.spending.settings import SpendingSettings

if TYPE_CHECKING:
    from understudy.app.settings import Settings


def check(path: Path, settings: "Settings", agents: Sequence[Agent]) -> CheckResult:
    """Check the file as the server would; without `agents` only its form, as it may name agents that are not known."""
    try:
        named = all_agents(agents, settings.builtin_agents, settings.default_agent, settings.extensions)
        limits, prices = settings.of(SpendingSettings), settings.models.prices
        fits = partial(check_rules, agents=named, default_model=settings.model, limits=limits, prices=prices)
        file = PermissionsFile(path, Permissions(), fits)
        rules = file.read() if agents else file.parse()
    except ValueError as error:
        return CheckResult("permissions", "mend", str(error))
    number = sum(map(len, (rules.agents, rules.tools, rules.models, rules.budgets, rules.together)))
    if not agents:
        more = "; name your agents as MODULE:ATTR to have them compared"
        return CheckResult("permissions", "note", f"{path}: {number} rules{more}")
    return CheckResult("permissions", "ok", f"{path}: {number} rules")
