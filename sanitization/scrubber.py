"""The face of the library: a text, or markup, in; the same without what must not pass, out."""

from .detectors.markup import Markup
from .findings import Scrubbed
from .policy import STANDARD, Policy
from .stream import StreamScrubber


class Scrubber:
    """Takes out of texts and of markup what its policy names. Stateless: share one among threads and tasks."""

    def __init__(self, policy: Policy = STANDARD) -> None:
        self.policy = policy
        self._markup = Markup(policy)

    def scrub(self, text: str) -> Scrubbed:
        """Text for a reader, a log or a model. Nothing is escaped: `a < b` comes back byte for byte."""
        stream = StreamScrubber(self.policy)
        out = stream.feed(text) + stream.flush()
        findings = stream.findings
        return Scrubbed(out, findings, stream.replaced - len(findings))

    def scrub_html(self, html: str) -> Scrubbed:
        """Markup that is safe to put into a page: no script, no handler, no foreign image. What is text stays text.

        Always cleans, whatever the policy's categories. Findings name what was removed, with the category `markup`.
        """
        return self._markup.clean(html)

    def stream(self) -> StreamScrubber:
        """A scrubber for one text that arrives in pieces."""
        return StreamScrubber(self.policy)
