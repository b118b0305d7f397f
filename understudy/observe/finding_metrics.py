"""The metrics of the content filter."""

from collections.abc import Iterable
from typing import Final

from sanitization import Finding
from understudy.observe.collectors import MetricRegistry, Names
from understudy.observe.paths import OTHER

KINDS_MAX: Final = 200
"""Kinds of findings, and detectors, with a label of their own; further ones are counted as `other`."""


class FindingMetrics:
    """Counts the findings of the content filter, and the failures of its detectors."""

    def __init__(self, registry: MetricRegistry) -> None:
        self._kinds, self._detectors = Names(KINDS_MAX), Names(KINDS_MAX)
        self._findings = registry.counter(
            "understudy_scrub_findings", "What was found in texts.", "category", "kind", "direction", "action"
        )
        self._scrub_failures = registry.counter(
            "understudy_scrub_failures",
            "Detectors that failed on a text; the log has `scrub.detector_failed`.",
            "direction",
            "detector",
        )

    def record_sanitized(self, direction: str, findings: Iterable[Finding], omitted: int) -> None:
        """Count the findings in a text; `omitted`: further findings that are not listed."""
        for finding in findings:
            kind = self._kinds(finding.kind)
            self._findings[finding.category.value, kind, direction, finding.action.value].inc()
        if omitted:
            self._findings[OTHER, OTHER, direction, OTHER].inc(omitted)

    def record_detector_failure(self, direction: str, detector: str) -> None:
        """Count a detector that failed on a text."""
        detector = self._detectors(detector)
        self._scrub_failures[direction, detector].inc()
