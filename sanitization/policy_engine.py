"""Applies the policy to each hit."""

from collections.abc import Mapping

from .findings import Action, Category, Failure, Finding, Hit
from .masking import Placeholders, mask_text
from .policy import Direction, Failing, Mask, Policy


class PolicyEngine:
    """Decides on the hits of one text, and records failures and whether the text is blocked."""

    def __init__(self, policy: Policy, direction: Direction, placeholders: Placeholders | None) -> None:
        self.policy = policy
        self.rules = policy.rules(direction)
        self.failures: list[Failure] = []
        self.blocked = False
        self.has_exceptions = bool(policy.allow or policy.kinds)
        """Whether more than its score decides if a hit is accepted."""
        self._placeholders = placeholders

    def accepts(self, category: Category, hit: Hit, text: str) -> bool:
        """Return whether a hit that reaches the threshold is a find at all."""
        policy = self.policy
        if policy.allow and text[hit.start : hit.end] in policy.allow:
            return False
        return not policy.kinds or self._action(category, hit.kind) is not None

    def acts_on(self, category: Category, kind: str = "") -> bool:
        """Return whether finds of a category, or of this kind in it, are more than flagged."""
        action = self._action(category, kind) if self.has_exceptions and kind else self.rules[category]
        return action not in (None, Action.FLAG)

    def removes_all(self, category: Category) -> bool:
        """Return whether all accepted finds of a category are removed, so that `decide` need not be called."""
        return not self.has_exceptions and self.rules[category] is Action.REMOVE

    def decide(self, category: Category, hit: Hit, text: str) -> tuple[Action, str]:
        """Return the action for a find in `text`, and its replacement."""
        action = (self._action(category, hit.kind) or Action.FLAG) if self.has_exceptions else self.rules[category]
        if action is Action.REMOVE:
            return action, hit.replacement
        original = text[hit.start : hit.end]
        match action:
            case Action.MASK:
                return action, mask_text(original, _nearest(self.policy.masks, hit.kind) or Mask.SHAPE)
            case Action.TOKENISE:
                name = self._placeholders.assign(hit.kind, original) if self._placeholders is not None else None
                return (action, name) if name else (Action.REMOVE, hit.replacement)
            case Action.FLAG:
                return action, original
            case Action.BLOCK:
                self.blocked = True
        return action, hit.replacement

    def record_failure(self, detector: str, error: Exception) -> None:
        """Record that a detector raised an error."""
        self.failures.append(Failure(detector, type(error).__name__))
        if self.policy.failing is Failing.BLOCK:
            self.blocked = True

    def _action(self, category: Category, kind: str) -> Action | None:
        kinds = self.policy.kinds
        name = _named(kinds, kind) if kinds else None
        return kinds[name] if name is not None else self.rules[category]


def _named(kinds: Mapping[str, object], kind: str) -> str | None:
    """Return the longest prefix of a kind, by whole words, that has an entry."""
    while kind:
        if kind in kinds:
            return kind
        kind = kind.rpartition(".")[0]
    return None


def _nearest(masks: Mapping[str, Mask], kind: str) -> Mask | None:
    name = _named(masks, kind) if masks else None
    return masks[name] if name is not None else None


def make_finding(hit: Hit, category: Category, detector: str, action: Action) -> Finding:
    """Return a hit as a public finding."""
    shown = "" if action is Action.FLAG else hit.replacement
    return Finding(hit.kind, category, hit.start, hit.end, hit.score, shown, detector, action, hit.reasons)
