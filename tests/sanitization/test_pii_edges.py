"""Personal numbers beside scripts without blanks, or glued to their names, and look-alikes."""

import pytest

from sanitization import Action, Category, Direction, Sanitizer, StreamSanitizer, everywhere

POLICY = everywhere({Category.PII: Action.FLAG})
SANITIZER = Sanitizer(POLICY, Direction.TOOL)

FINDS = (
    ("电话是", "+49 170 1234567", "谢谢", "pii.phone"),
    ("電話は", "+81 90-1234-5678", "です", "pii.phone"),
    ("메일은 ", "kim@example.kr", "입니다", "pii.email"),
    ("Aadhaar: ", "3123:4567:8909", " is new", "pii.in_aadhaar"),
    ("Call ", "+1 415 555 2671 ext. 204", " now", "pii.phone"),
    ("Call ", "415-555-2671 x204", ".", "pii.phone"),
    ("Tel. ", "030 9018 2233 Durchwahl 12", ", bitte", "pii.phone"),
    ("tel:", "+14155552671;ext=89", ">", "pii.phone"),
    ("Call ", "+1 415 555 2671", " ext. or ask", "pii.phone"),
    ("SSN", "219-09-9998", ".", "pii.us_ssn"),
    ("user?ssn=", "219-09-9998", "&x=1", "pii.us_ssn"),
    ("national_id=", "219-09-9998", "&x=1", "pii.id_number"),
)
NO_FINDS = (
    "route 2001:db8:: to the router",
    "fe80::",
    "the range 2001:0db8:85a3:: is full",
    "12345678903",
    "86095742719",
    "3123:4567:8908",
    "price=219-09-9998",
)


@pytest.mark.parametrize(("before", "number", "after", "kind"), FINDS)
def test_a_number_is_found_whatever_stands_beside_it(before: str, number: str, after: str, kind: str) -> None:
    """The exact span is found, whole and letter by letter."""
    text = f"{before}{number}{after}"
    [finding] = SANITIZER.sanitize(text).findings
    assert (text[finding.start : finding.end], finding.kind) == (number, kind)
    stream = StreamSanitizer(POLICY, Direction.TOOL)
    assert "".join([*map(stream.feed, text), stream.flush()]) == text
    assert stream.findings == (finding,)


@pytest.mark.parametrize("text", NO_FINDS)
def test_look_alikes_of_personal_numbers_are_no_finds(text: str) -> None:
    """The beginning of addresses, digits without a name, a wrong check digit, a price."""
    assert SANITIZER.sanitize(text).findings == ()
