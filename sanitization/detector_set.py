"""The choice of detectors for a policy in one direction."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .detector import Detector
from .detectors import CONTENT, DISGUISES, Injection, Percent, Pii, Secrets
from .findings import Category
from .pipeline import Bounds, Numbered, PolicyEngine, bounds_of
from .policy import Direction, Policy, Rules
from .prefilter import ActiveDetectors, build_prefilter


class DetectorSet(NamedTuple):
    """The detectors of a policy in one direction, numbered in the order they run, and their prefilters.

    Each of the `early` detectors has a stage of its own, and `deferring` says whether a later stage removes all that
    it finds. The others are numbered from `first_late`.
    """

    rules: Rules
    early: tuple[Numbered, ...]
    late: tuple[Numbered, ...]
    bounds: tuple[Bounds, ...]
    deferring: tuple[bool, ...]
    first_late: int
    find_active: Callable[[str], ActiveDetectors]
    find_active_early: Callable[[str], ActiveDetectors]


def build_detectors(policy: Policy, direction: Direction, extra: Sequence[Detector] = ()) -> DetectorSet:
    """Choose the detectors for which the policy has rules.

    All policies search the same prefilters, with or without those of orders to a model, and drop what their detectors
    do not need: the automaton is built once and meets its states once.
    """
    rules = policy.rules(direction)
    content = CONTENT if Category.INJECTION in rules else [part for part in CONTENT if not isinstance(part, Injection)]
    every = [Numbered(number, detector) for number, detector in enumerate((*DISGUISES, *content, *extra))]
    chosen = [numbered for numbered in every if numbered.detector.category in rules]
    first = tuple([numbered for numbered in chosen if numbered.number < len(DISGUISES)])
    others = tuple(
        [
            Numbered(number, detector.of(policy)) if hasattr(detector, "of") else Numbered(number, detector)
            for number, detector in chosen
            if number >= len(DISGUISES)
        ]
    )
    prefilters = [detector.prefilters for detector in (*DISGUISES, *content)]
    prefilters += [detector.prefilters if detector.category in rules else () for detector in extra]
    prefilters.append(Percent.prefilters)
    coded = len(prefilters) - 1  # the number of all that read percent codes: they have one prefilter
    deciding = tuple(
        [(number, part.concerns) for number, part in others if not part.prefilters and hasattr(part, "concerns")]
    )
    find_active = build_prefilter(
        tuple(prefilters), frozenset([*(number for number, _ in chosen), *([coded] if others else [])]), deciding
    )
    others += tuple(
        [
            Numbered(coded, Percent(detector, number, find_active))
            for number, detector in others
            if isinstance(detector, Secrets | Pii)
        ]
    )
    return DetectorSet(
        rules,
        first,
        others,
        tuple([bounds_of(stage) for stage in (*([numbered] for numbered in first), others)]),
        tuple([_is_covered(detector, PolicyEngine(policy, rules, None)) for _, detector in first]),
        len(DISGUISES),
        find_active,
        build_prefilter(
            tuple(prefilters[: len(DISGUISES)] if first else ()), frozenset([number for number, _ in first])
        ),
    )


def _is_covered(detector: Detector, engine: PolicyEngine) -> bool:
    """Return whether a later stage removes all finds of this detector (its `covers`: categories with kinds)."""
    covers: Mapping[Category, Sequence[str]] = getattr(detector, "covers", {})
    return bool(covers) and all(
        category in engine.rules and engine.acts_on(category, kind)
        for category, kinds in covers.items()
        for kind in kinds
    )
