"""A policy from TOML: every field can be written, and invalid files are refused in a sentence."""

import contextlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization import OFF, STANDARD, STRICT, Action, Category, Failing, Mask, Policy, PolicyError, policy_from_toml

EVERY_FIELD = """
threshold = 1
allow = ["support@example.org", "a < b"]
link_hosts = ["Docs.example.org"]
image_hosts = ["img.example.org:8443"]
failing = "mark"
max_findings = 0

[inbound]
secret = "block"
pii = "tokenise"
injection = "pass"

[tool]
injection = "remove"

[outbound]
pii = "mask"

[kinds]
pii.ip = "pass"
"pii.email" = "flag"
secret = "remove"

[masks]
"pii.card" = "last_four"
"pii" = "shape"

[classes]
Code = ["language-python", "hljs"]
"""


def test_every_field_can_be_written() -> None:
    """Each field takes the file's value; rules change those of the preset."""
    policy = policy_from_toml(EVERY_FIELD)
    assert policy == Policy(
        inbound={
            Category.TERMINAL: Action.REMOVE,
            Category.INVISIBLE: Action.REMOVE,
            Category.SECRET: Action.BLOCK,
            Category.PII: Action.TOKENISE,
        },
        tool={**STANDARD.tool, Category.INJECTION: Action.REMOVE},
        outbound={**STANDARD.outbound, Category.PII: Action.MASK},
        kinds={"pii.ip": None, "pii.email": Action.FLAG, "secret": Action.REMOVE},
        threshold=1.0,
        allow=frozenset({"support@example.org", "a < b"}),
        link_hosts=frozenset({"docs.example.org"}),
        image_hosts=frozenset({"img.example.org:8443"}),
        classes={"code": frozenset({"language-python", "hljs"})},
        masks={"pii.card": Mask.LAST_FOUR, "pii": Mask.SHAPE},
        failing=Failing.MARK,
        max_findings=0,
    )
    for field in attrs.fields(Policy):
        assert getattr(policy, field.name) != getattr(STANDARD, field.name), f"{field.name} cannot be written"
        assert field.name in EVERY_FIELD


@pytest.mark.parametrize(
    ("text", "policy"),
    [("", STANDARD), ('preset = "standard"', STANDARD), ('preset = "strict"', STRICT), ('preset = "off"', OFF)],
)
def test_a_preset_alone_is_that_preset(text: str, policy: Policy) -> None:
    """A file without rules is its preset; without a preset it is the standard one."""
    assert policy_from_toml(text) == policy


def test_a_preset_is_not_changed_by_what_builds_on_it() -> None:
    """Parsing a file leaves the presets unchanged."""
    before = dict(STRICT.inbound)
    policy = policy_from_toml('preset = "strict"\n[inbound]\npii = "pass"')
    assert Category.PII not in policy.inbound
    assert dict(STRICT.inbound) == before


@pytest.mark.parametrize("category", Category)
@pytest.mark.parametrize("action", [*Action, "pass"])
@pytest.mark.parametrize("direction", ["inbound", "tool", "outbound"])
def test_every_rule_can_be_written(direction: str, category: Category, action: str) -> None:
    """Each action for each category in each direction changes only that rule."""
    policy = policy_from_toml(f'preset = "off"\n[{direction}]\n{category} = "{action}"')
    expected = {} if action == "pass" else {category: Action(action)}
    assert policy == attrs.evolve(OFF, **{direction: expected})


REFUSED = {
    "color = 1": "`color` is no key of a policy; there are preset, inbound, tool",
    "Threshold = 1": "no key",
    'preset = "Strict"': "`preset` is 'Strict'; it takes one of strict, standard and off.",
    "preset = 1": "`preset` is 1; it takes one of",
    "preset = []": "`preset` is a list; it takes one of",
    'inbound = "mask"': "`inbound` is 'mask'; it takes a table: write [inbound] on a line of its own.",
    '[inbound]\nsecrets = "mask"': "`inbound.secrets` is no category; there are markup, secret, pii, injection",
    '[tool]\npii = "hide"': "`tool.pii` is 'hide'; it takes one of remove, mask, tokenise, flag, block and pass.",
    "[tool]\npii = true": "`tool.pii` is true;",
    "[tool]\npii.email = 'mask'": "`tool.pii` is a table;",
    '[kinds]\nemail = "mask"': "`kinds.email` is below no category; there are markup,",
    '[kinds]\n"pii..email" = "mask"': "which is no kind",
    '[kinds]\n"pii email" = "mask"': "which is no kind",
    '[kinds]\n"" = "mask"': "which is no kind",
    '[kinds]\npii.email = "off"': "`kinds.pii.email` is 'off'; it takes one of",
    '[kinds]\npii.email = "mask"\n"pii.email" = "flag"': "`kinds.pii.email` stands there twice",
    '[masks]\npii.card = "stars"': "`masks.pii.card` is 'stars'; it takes one of shape and last_four.",
    '[masks]\npii.card = "pass"': "it takes one of shape and last_four.",
    "masks = []": "`masks` is a list; it takes a table",
    "threshold = 2": "`threshold` is 2; it takes a number from 0 to 1.",
    "threshold = -0.1": "a number from 0 to 1",
    "threshold = nan": "a number from 0 to 1",
    "threshold = inf": "a number from 0 to 1",
    "threshold = true": "`threshold` is true; it takes a number",
    'threshold = "0.5"': "a number from 0 to 1",
    "max_findings = -1": "`max_findings` is -1; it takes a whole number",
    "max_findings = 1.5": "a whole number",
    "max_findings = false": "a whole number",
    "max_findings = 2026-11-20": "`max_findings` is something else;",
    'allow = "x"': "`allow` is 'x'; it takes a list of texts, none of them empty.",
    'allow = [""]': "none of them empty",
    "allow = [1]": "a list of texts",
    'link_hosts = ["https://example.org"]': "which is no host",
    'image_hosts = ["example.org/x"]': "`image_hosts` has 'example.org/x', which is no host",
    'image_hosts = ["a@example.org"]': "no host",
    "classes.code = 'x'": "`classes.code` is 'x'; it takes a list of texts",
    "classes = 3": "`classes` is 3; it takes a table",
    'failing = "pass"': "`failing` is 'pass'; it takes one of block and mark.",
    "= 1": "The policy is not TOML: Invalid statement (at line 1, column 1).",
    "threshold = 0.5\nthreshold = 0.6": "The policy is not TOML: Cannot overwrite a value",
    "x = " + "[" * 100_000: "The policy is not TOML: ",
    "max_findings = 1" + "0" * 5_000: "The policy is not TOML: ",
    "max_findings = -1" + "0" * 300: "`max_findings` is a number;",
    "x" * 5_000 + " = 1": "no key of a policy",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_an_invalid_policy_is_refused(text: str) -> None:
    """The error is one sentence with the key and the allowed values."""
    with pytest.raises(PolicyError) as refused:
        policy_from_toml(text)
    assert REFUSED[text] in str(refused.value)
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 250


@given(st.dictionaries(st.sampled_from([*(each.name for each in attrs.fields(Policy)), "preset", "x"]), st.text()))
def test_nothing_but_a_policy_error_is_raised(table: dict[str, str]) -> None:
    """Random TOML yields a policy or a `PolicyError`."""
    with contextlib.suppress(PolicyError):
        assert policy_from_toml("\n".join(f"{key} = {value}" for key, value in table.items()))
