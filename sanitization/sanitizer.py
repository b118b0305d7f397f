"""The main entry of the library: sanitizes a whole text or markup."""

from collections.abc import Sequence

from .detectors.detector import Detector
from .detectors.markup.markup import Markup
from .findings import Sanitized
from .masking import Placeholders
from .policy import STANDARD, Direction, Policy
from .stream import StreamSanitizer, build_detectors


class Sanitizer:
    """Applies a policy to texts and markup. Stateless: share one among threads and tasks.

    `direction` picks the rules of the policy; `extra` are custom detectors, which run after the built-in ones.
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
        """Sanitize text for a reader, a log or a model. Nothing is escaped: `a < b` is returned byte for byte.

        `placeholders` are needed if the policy tokenises; without them such finds are removed.
        """
        stream = self.stream(placeholders)
        out = stream.feed(text) + stream.flush()
        return stream.result(out)

    def sanitize_html(self, html: str) -> Sanitized:
        """Sanitize markup for a page: no script, no handler, no foreign image. Text content stays.

        Always cleans, whatever the policy's categories. Findings name what was removed, with the category `markup`.
        """
        return self._markup.clean(html)

    def restrict_html(self, html: str) -> str:
        """Parse markup again that `sanitize_html` wrote in another process: faster, without findings.

        For markup that may have been changed on the way. Unchanged output of `sanitize_html` stays as it is.
        """
        return self._markup.restrict(html)

    def stream(self, placeholders: Placeholders | None = None) -> StreamSanitizer:
        """Return a sanitizer for one text that arrives in pieces."""
        return StreamSanitizer(self.policy, self.direction, placeholders=placeholders, detectors=self._detectors)
