"""Assemble a streamed answer from `partial_result` events, placing each piece at its offset as the protocol says."""

from typing import Any

from attrs import define


@define
class AnswerView:
    """The text of one answer. `jumps` counts the pieces that replaced text shown before."""

    text: str = ""
    jumps: int = 0

    def shows(self, *events: dict[str, Any]) -> "AnswerView":
        """Apply events. Other kinds of event, and pieces beyond the end of the text, are ignored."""
        for event in events:
            if event["type"] == "partial_result" and event["data"]["offset"] <= len(self.text):
                at, text = event["data"]["offset"], event["data"]["text"]
                if self.text.startswith(text, at):
                    continue
                self.jumps += not text.startswith(self.text[at:])
                self.text = self.text[:at] + text
        return self
