"""What becomes of each find: the policy, applied."""

from collections.abc import Mapping

from .findings import Action, Category, Failure, Finding, Hit
from .masking import Placeholders, mask_text
from .policy import Direction, Failing, Mask, Policy


class PolicyEngine:
    """Decides on the finds of one text, and keeps what is to be told of it."""

    def __init__(self, policy: Policy, direction: Direction, placeholders: Placeholders | None) -> None:
        self.policy = policy
        self.rules = policy.rules(direction)
        self.failures: list[Failure] = []
        self.blocked = False
        self.has_exceptions = bool(policy.allow or policy.kinds)
        """Whether more than its score decides if a hit counts."""
        self._placeholders = placeholders

    def accepts(self, category: Category, hit: Hit, text: str) -> bool:
        """Whether a hit that reaches the threshold is a find at all."""
        policy = self.policy
        if policy.allow and text[hit.start : hit.end] in policy.allow:
            return False
        return not policy.kinds or self._action(category, hit.kind) is not None

    def acts_on(self, category: Category, kind: str = "") -> bool:
        """Whether finds of a category, or of this kind in it, are more than flagged."""
        action = self._action(category, kind) if self.has_exceptions and kind else self.rules[category]
        return action not in (None, Action.FLAG)

    def removes_all(self, category: Category) -> bool:
        """Whether all finds of a category that count are removed, so that no verdict need be asked for."""
        return not self.has_exceptions and self.rules[category] is Action.REMOVE

    def decide(self, category: Category, hit: Hit, text: str) -> tuple[Action, str]:
        """What to do with a find in `text`, and what stands in its place."""
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
        """A detector raised an error."""
        self.failures.append(Failure(detector, type(error).__name__))
        if self.policy.failing is Failing.BLOCK:
            self.blocked = True

    def _action(self, category: Category, kind: str) -> Action | None:
        kinds = self.policy.kinds
        name = _named(kinds, kind) if kinds else None
        return kinds[name] if name is not None else self.rules[category]


def _named(kinds: Mapping[str, object], kind: str) -> str | None:
    """The longest beginning of a kind, by whole words, that has an entry."""
    while kind:
        if kind in kinds:
            return kind
        kind = kind.rpartition(".")[0]
    return None


def _nearest(masks: Mapping[str, Mask], kind: str) -> Mask | None:
    name = _named(masks, kind) if masks else None
    return masks[name] if name is not None else None


def make_finding(hit: Hit, category: Category, detector: str, action: Action) -> Finding:
    """The public account of a hit."""
    shown = "" if action is Action.FLAG else hit.replacement
    return Finding(hit.kind, category, hit.start, hit.end, hit.score, shown, detector, action, hit.reasons)
