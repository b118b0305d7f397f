"""The text of an answer that is being written."""

from transport.wire.events import PartialResult
from understudy.chat.conversation.streamed_text import StreamedText


def test_text_not_shown_yet_is_one_piece_and_is_shown_once() -> None:
    text = StreamedText()
    assert text.take() is None
    text.append("a\n\n")
    text.append("b@c.d", "[email-1]")
    assert text.take() == PartialResult("a\n\nb@c.d", 0)
    text.append("", "held back")
    assert text.take() is None
    text.append("!")
    assert (text.take(), text.whole) == (PartialResult("!", 8), PartialResult("a\n\nb@c.d!", 0))
    assert (text.stored, len(text)) == ("a\n\n[email-1]held back!", 9)


def test_a_text_that_was_shown_before_is_not_shown_again() -> None:
    text = StreamedText()
    text.begin_with("b@c.d", "[email-1]")
    assert (text.take(), text.stored, text.whole) == (None, "[email-1]", PartialResult("b@c.d", 0))
    text.append("!")
    assert text.take() == PartialResult("!", 5)


def test_a_text_that_restarts_is_another_one() -> None:
    text = StreamedText()
    text.append("one")
    epoch = text.epoch
    text.restart()
    assert (text.take(), text.stored, len(text), text.epoch == epoch) == (None, "", 0, False)
