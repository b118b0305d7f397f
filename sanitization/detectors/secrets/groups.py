"""The rules about tokens behind their prefilters: those of a field together, those with weak literals each apart."""

from typing import Final

from sanitization.prefilter import Prefilter

from .rules import Group, Named, Searched, TokenRules, Underscored
from .shapes import example
from .tokens import CHAT, CLOUD, MODELS, PAYMENT, SOURCE, TOOLS

SEARCHED: Final = (
    Searched(
        "telegram.token",
        "Telegram bot token",
        r"[0-9]{5,16}:[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])",
        Prefilter(literals=(":",), pattern=r"[0-9]{5}:[A-Za-z0-9_-]{12}"),
        example("d9 ':AA' w33", "telegram"),
        random=True,
    ),
    Searched(
        "discord.token",
        "Discord bot token",
        r"[MNO][A-Za-z0-9_-]{22,28}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}",
        Prefilter(pattern=r"[MNO][A-Za-z0-9_-]{22,28}\."),
        example("'MT' w22 '.' w6 '.' w38", "discord"),
        random=True,
    ),
    Searched(
        "facebook.app_token",
        "Facebook app token",
        r"[0-9]{15,16}[|%][A-Za-z0-9_-]{27,40}",
        Prefilter(literals=("|", "%"), pattern=r"[0-9]{12}[|%][A-Za-z0-9_-]{6}"),
        example("d15 '|' w27", "facebook"),
        random=True,
    ),
    Searched(
        "twitter.bearer",
        "X (Twitter) bearer token",
        r"A{20,24}[A-Za-z0-9%]{60,120}",
        Prefilter(literals=("A" * 20,)),
        "A" * 22 + example("w40 '%3D' w40", "twitter"),
    ),
    Searched(
        "slack.webhook",
        "Slack webhook",
        # The dots may be written so that no one follows the link by mistake: `hooks[.]slack[.]com`.
        r"(?:https?://)?hooks[^\s\w/]{0,2}[^\s/][^\s\w/]{0,2}slack[^\s\w/]{0,2}[^\s/][^\s\w/]{0,2}com"
        r"/(?:services|workflows|triggers)/[A-Za-z0-9+/]{30,100}",
        Prefilter(literals=("hooks",), pattern=r"hooks[^\x00-\x20]{1,5}slack"),
        "hooks.slack.com/services/" + example("'T' U8 '/B' U8 '/' w24", "slack"),
    ),
    Searched(
        "slack.config_token",
        "Slack configuration token",
        r"xoxe(?:[^\s]xox[bp])?-[0-9]-[A-Za-z0-9]{100,200}",
        Prefilter(literals=("xoxe",), pattern=r"xoxe(?:[^\x00-\x20]xox|-[0-9]-)"),
        "xoxe.xoxp-1-" + example("U163", "slack"),
    ),
    Named("okta.token", "Okta token", "okta", "'00' t40"),
    Named("meraki.key", "Cisco Meraki key", "meraki", "h40"),
    Named("cohere.key", "Cohere key", "cohere co_api_key", "w40"),
    Named("sumologic.id", "id of a Sumo Logic key", "sumo", "'su' w12", given="sukJP9csi1HqqT"),
    Named("privateai.key", "Private AI key", "privateai private-ai private_ai", "l32"),
    Searched(
        "aws.mws_token",
        "Amazon MWS token",
        r"amzn\.(?:mws|oa2-cs\.v1)\.[a-f0-9-]{36,64}",
        Prefilter(literals=("amzn.mws.", "amzn.oa2-cs.")),
        "amzn.mws." + example("h8 '-' h4 '-' h4 '-' h4 '-' h12", "amazon"),
    ),
)


def _apart() -> tuple[Group, ...]:
    """Build one prefilter for each field, and one for each rule whose few letters also occur in prose."""
    fields = {
        "cloud": CLOUD,
        "source": SOURCE,
        "payment": PAYMENT,
        "chat": CHAT,
        "models": MODELS,
        "tools": TOOLS,
    }
    underscored = [
        rule
        for field in fields.values()
        for rule in field
        if not rule.before and all("_" in literal[1:] for literal in rule.anchors)
    ]
    groups: list[Group] = [Underscored("underscored", underscored)]
    first = len(underscored)
    for name, field in fields.items():
        others = [rule for rule in field if rule not in underscored]
        rare = [rule for rule in others if not rule.before and min(map(len, rule.anchors)) >= RARE]
        groups.append(TokenRules(name, rare, first))
        first += len(rare)
        for rule in others:
            if rule not in rare:
                groups.append(TokenRules(rule.kind, [rule], first))
                first += 1
    return tuple(groups)


RARE: Final = 4  # least length of a literal that is rare in ordinary text
GROUPS: Final[tuple[Group, ...]] = (*_apart(), *SEARCHED)
