"""What a screen shows of a running answer: each piece from its offset on, as the protocol says."""

from typing import Any

from attrs import define


@define
class AnswerView:
    """The text of one answer. `jumps` counts how often a piece took something away that was shown."""

    text: str = ""
    jumps: int = 0

    def shows(self, *events: dict[str, Any]) -> "AnswerView":
        """Take events in as a client does; other kinds, and what lies beyond the end of the text, change nothing."""
        for event in events:
            if event["type"] == "partial_result" and event["data"]["offset"] <= len(self.text):
                at, text = event["data"]["offset"], event["data"]["text"]
                if self.text.startswith(text, at):
                    continue
                self.jumps += not text.startswith(self.text[at:])
                self.text = self.text[:at] + text
        return self
