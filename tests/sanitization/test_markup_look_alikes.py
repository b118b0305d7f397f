"""Talk about markup, code with angle brackets and addresses between them are left as they are."""

import pytest

from sanitization import Action, Category, Direction, Sanitizer, everywhere

SANITIZERS = [Sanitizer(everywhere({Category.MARKUP: Action.REMOVE}), direction) for direction in Direction]

LOOK_ALIKES = [
    # code samples, fenced and in a line
    'Use it so:\n```html\n<script src="app.js"></script>\n<img src=x onerror="retry()">\n```\nand reload.',
    '~~~\n<iframe src="x"></iframe>\n~~~',
    "    <script>\n    draw(1)\n    </script>\n\nis an indented sample.",
    "The tag `<script>` runs code, `<embed>` brings a page.",
    'Write `<a href="javascript:void(0)">` never.',
    # comparisons and shifts
    "if a < b and c > d: swap()",
    "for (i = 0; i < n; i++) total <<= 2;",
    "x<y && y>z",
    # generics, also of names that are tags
    "Map<String, List<Integer>> m = new HashMap<>();",
    "List<Button> buttons = page.findAll(); Array<Script> items; Map<Style, Link> looks",
    "std::vector<std::pair<int,int>> v;",
    "fn f<T: Into<String>>(x: Option<Box<dyn Fn(i32)>>) {}",
    "template <typename T> class A : B<T> {};",
    # addresses between angle brackets
    "From: Ada Lovelace <ada@example.org>",
    "Message-ID: <20240101.abc@mail.example.org>",
    "See <https://example.org/docs> and <mailto:ada@example.org>.",
    # XML and drawings as documentation
    'An SVG begins with <svg viewBox="0 0 10 10"> and has a <path d="M0 0L10 10"/>.',
    '<?xml version="1.0"?><note><to>Bo</to><from>Ada</from></note>',
    "The <object> and <form> elements, and <meta http-equiv=refresh>, are explained below.",
    # schemes and handlers in prose
    "Links that begin with javascript: are refused; so are vbscript: and data:text/html.",
    "We set onclick=handler in the options; onload = None by default.",
    # places to fill in
    "usage: tool [options] <file> <object> ... --form <form> --link <link>",
    "press <Enter>, then <Ctrl>+<C>; I <3 it",
]


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_text_that_looks_like_markup_is_unchanged(text: str) -> None:
    """The text is unchanged in every direction, without findings."""
    for sanitizer in SANITIZERS:
        sanitized = sanitizer.sanitize(text)
        assert (sanitized.text, sanitized.findings) == (text, ())
