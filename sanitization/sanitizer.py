"""The face of the library: a text, or markup, in; the same without what must not pass, out."""

from collections.abc import Sequence

from .detectors.detector import Detector
from .detectors.markup.markup import Markup
from .findings import Sanitized
from .masking import Placeholders
from .policy import STANDARD, Direction, Policy
from .stream import StreamSanitizer, build_detectors


class Sanitizer:
    """Takes out of texts and of markup what its policy names. Stateless: share one among threads and tasks.

    `direction` picks the rules of the policy; `extra` are detectors of your own, which come after the others.
    """

    def __init__(
        self,
        policy: Policy = STANDARD,
        direction: Direction = Direction.OUTBOUND,
        *,
        extra: Sequence[Detector] = (),
    ) -> None:
        self.policy = policy
        self.direction = direction
        self._detectors = build_detectors(policy, direction, extra)
        self._markup = Markup(policy)

    def sanitize(self, text: str, placeholders: Placeholders | None = None) -> Sanitized:
        """Text for a reader, a log or a model. Nothing is escaped: `a < b` comes back byte for byte.

        `placeholders` are needed where the policy tokenises; without them such finds are removed.
        """
        stream = self.stream(placeholders)
        out = stream.feed(text) + stream.flush()
        return stream.result(out)

    def sanitize_html(self, html: str) -> Sanitized:
        """Markup that is safe to put into a page: no script, no handler, no foreign image. What is text stays text.

        Always cleans, whatever the policy's categories. Findings name what was removed, with the category `markup`.
        """
        return self._markup.clean(html)

    def restrict_html(self, html: str) -> str:
        """Markup that `scrub_html` has written elsewhere, once more through the parser: faster, without findings.

        For markup from another process, which may not be what it was. What `scrub_html` wrote stays as it is.
        """
        return self._markup.restrict(html)

    def stream(self, placeholders: Placeholders | None = None) -> StreamSanitizer:
        """A sanitizer for one text that arrives in pieces."""
        return StreamSanitizer(self.policy, self.direction, placeholders=placeholders, detectors=self._detectors)
