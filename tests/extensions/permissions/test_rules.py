"""Who may use which agents, tools and models, and spend how much."""

import tomllib

import pytest

from transport.auth.identity import Identity
from understudy import Agent, tool
from understudy.agents.permissions import NotPermitted, Permissions, Rules
from understudy.extensions.permissions.rules import BadRules, check_rules, parse_rules
from understudy.extensions.spending.settings import SpendingSettings
from understudy.models.prices import PriceTable

STAFF = Identity("ada", "s", groups=("staff",))
BOTH = Identity("bea", "s", groups=("staff", "research"))
NOBODY = Identity("bob", "s")


@tool
def look() -> str:
    """Look."""
    return ""


@tool(allow=["group:research"])
def crm_write() -> str:
    """Write."""
    return ""


DESK = Agent("desk", tools=[look, crm_write])
FRONT = Agent("front", tools=[look, DESK.as_tool()])
AGENTS = {"desk": DESK, "front": FRONT}
LIMITS = SpendingSettings(user_tokens_per_day=100)


def rules(text: str) -> Rules:
    return parse_rules(tomllib.loads(text))


def tools(permissions: Permissions, agent: Agent, who: Identity) -> list[str]:
    """Return the names of the tools that an agent has for a user."""
    return [offered.name for offered in permissions.for_user(agent, who).tools]


def test_a_tool_and_the_file_both_have_to_allow_a_use() -> None:
    permissions = Permissions()
    assert tools(permissions, DESK, STAFF) == ["look"]
    assert tools(permissions, DESK, BOTH) == ["look", "crm_write"]
    permissions.rules = rules('[tools]\n"crm_*" = ["group:staff"]\nlook = ["group:research"]')
    assert tools(permissions, DESK, STAFF) == []
    assert tools(permissions, DESK, BOTH) == ["look", "crm_write"]
    assert tools(permissions, DESK, Identity("x", "s", groups=("research",))) == ["look"]


def test_the_longest_pattern_holds_and_a_whole_name_before_it() -> None:
    permissions = rules('[tools]\n"*" = ["user:a"]\n"crm_*" = ["user:b"]\ncrm_write = ["user:c"]')
    assert [permissions.of_tool(name) for name in ("look", "crm_read", "crm_write")] == [
        ("user:a",),
        ("user:b",),
        ("user:c",),
    ]


def test_an_agent_is_allowed_also_as_a_subagent() -> None:
    permissions = Permissions(rules('[agents]\ndesk = ["group:staff"]'))
    assert list(permissions.usable(AGENTS, STAFF)) == ["desk", "front"]
    assert list(permissions.usable(AGENTS, NOBODY)) == ["front"]
    assert tools(permissions, FRONT, STAFF) == ["look", "ask_desk"]
    assert tools(permissions, FRONT, NOBODY) == ["look"]


def test_a_chain_of_models_is_allowed_as_a_whole() -> None:
    permissions = Permissions(rules('[models]\n"openai:big" = ["group:research"]'))
    permissions.check_models(("openai:big", "offline"), BOTH)
    permissions.check_models(("offline",), NOBODY)
    with pytest.raises(NotPermitted, match="You may not use the model openai:big"):
        permissions.check_models(("offline", "openai:big"), STAFF)


def test_of_several_budgets_the_largest_bound_holds() -> None:
    staff = '[budgets."group:staff"]\ntokens_per_day = 200\ncost_per_month = 9\n'
    permissions = Permissions(rules('[budgets."group:research"]\ntokens_per_day = 300\n' + staff))
    assert permissions.raised(NOBODY) == {}
    assert permissions.raised(STAFF) == {"tokens_per_day": 200, "cost_per_month": 9}
    assert permissions.raised(BOTH) == {"tokens_per_day": 300, "cost_per_month": 9}


def test_spending_counts_for_the_groups_of_the_file_and_roles_with_a_budget_together() -> None:
    text = 'groups = ["staff", "board"]\n[budgets."group:staff".together]\ntokens_per_day = 900\n'
    text += '[budgets."role:clerk"]\ntokens_per_day = 5\n[budgets."role:clerk".together]\ncost_per_month = 7'
    permissions = Permissions(rules(text))
    assert permissions.together() == {"group:staff": {"tokens_per_day": 900}, "role:clerk": {"cost_per_month": 7}}
    assert list(permissions.rules.budgets) == ["role:clerk"]
    assert permissions.counted(BOTH) == ("group:staff",)
    clerk = Identity("c", "s", roles=("clerk", "boss"), groups=("board",))
    assert permissions.counted(clerk) == ("group:board", "role:clerk")
    assert permissions.counted(NOBODY) == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tool = 1", "tool is not known"),
        ('groups = "staff"', "groups must be a list"),
        ("tools = 1", "tools must be a table"),
        ('[tools]\nlook = "group:staff"', "tools.look: a list of entries is needed"),
        ("[tools]\nlook = []", "tools.look: .* nobody"),
        ('[models]\nm = ["staff"]', "models.m: .* user:NAME, role:NAME or group:NAME"),
        ('[budgets."staff"]\ntokens_per_day = 1', "budgets.staff: .* group:NAME"),
        ('[budgets."group:staff"]\ntokens = 1', "budgets.group:staff: must be a table with some of tokens_per_day"),
        ('[budgets."group:staff"]\ntokens_per_day = 1.5', "must be a whole number"),
        ('[budgets."group:staff"]\ncost_per_day = 0', "must be more than 0"),
        ('[budgets."group:staff"]\ncost_per_day = nan', "must be more than 0"),
        ('[budgets."group:staff"]\ntogether = 7', "budgets.group:staff: must be a table"),
        ('[budgets."group:staff".together]\ntokens = 7', "must be a table with some of tokens_per_day"),
        ('[budgets."group:staff".together]\ntokens_per_day = -7', "must be more than 0"),
        ('[budgets."user:ada".together]\ntokens_per_day = 7', "one user has nothing together"),
    ],
)
def test_a_malformed_rule_is_refused_by_name(text: str, fault: str) -> None:
    with pytest.raises(BadRules, match=fault):
        rules(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('groups = ["research"]\n[tools]\nlook = ["group:staf"]', "tools.look: there is no group 'staf' in groups"),
        ("", "allow of the tool crm_write: there is no group 'research' in groups"),
        ('groups = ["research"]\n[tools]\nlok = ["user:ada"]', r"tools.lok: .* \(did you mean 'look'"),
        ('groups = ["research"]\n[tools]\n"erp_*" = ["user:ada"]', r"tools.erp_\*: no agent has such a tool"),
        ('groups = ["research"]\n[agents]\ndisk = ["user:ada"]', "agents.disk: there is no agent"),
        ('groups = ["research"]\n[models]\ngpt = ["user:ada"]', "models.gpt: no agent uses that model"),
        ('groups = ["research"]\n[budgets."user:ada"]\ntokens_per_day = 100', "spending.user_tokens_per_day is 100"),
        ('groups = ["research"]\n[budgets."user:ada"]\ncost_per_month = 1', "user_cost_per_month is not set"),
        ('groups = ["research"]\n[budgets."group:staff".together]\ntokens_per_day = 1', "there is no group 'staff'"),
        (
            'groups = ["research"]\n[budgets."role:clerk".together]\ncost_per_day = 1',
            "budgets.role:clerk.together: it bounds costs, but eager has no price",
        ),
    ],
)
def test_a_rule_that_fits_nothing_of_the_server_is_refused(text: str, fault: str) -> None:
    with pytest.raises(BadRules, match=fault):
        check_rules(rules(text), AGENTS, "eager", LIMITS, PriceTable())


def test_rules_that_fit_are_taken() -> None:
    text = """
    groups = ["research", "staff"]
    [agents]
    desk = ["group:staff"]
    [tools]
    "crm_*" = ["group:staff"]
    look = ["role:clerk"]
    [models]
    eager = ["group:research"]
    [budgets."group:staff"]
    tokens_per_day = 101
    [budgets."group:staff".together]
    tokens_per_day = 101
    """
    check_rules(rules(text), AGENTS, "eager", LIMITS, PriceTable())
    for fits, fits_not in (("desk =", "desks ="), ("look =", "looks ="), ("eager =", "lazy ="), ("crm_*", "cms_*")):
        with pytest.raises(BadRules):
            check_rules(rules(text.replace(fits, fits_not)), AGENTS, "eager", LIMITS, PriceTable())
