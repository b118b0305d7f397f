"""Formulas: recognised without mistaking prices, converted to safe MathML in bounded time, else shown as code."""

import re
import time

import pytest

from understudy.chat.answer.formulas import SOURCE_MAX, mathml
from understudy.chat.answer.markdown import clean_html, render


@pytest.mark.parametrize("text", [r"\(a^2\)", "$a^2$", r"\[a^2\]", "$$a^2$$", "$$\na^2\n$$", "text\n\\[\na^2\n\\]"])
def test_each_form_becomes_mathml(text: str) -> None:
    html = render(text)
    assert "<msup><mi>a</mi><mn>2</mn></msup>" in html
    assert not re.search(r"[\\$^]|\[|\(", re.sub(r"<[^>]*>", "", html))
    assert ('display="block"' in html) == ("[" in text or "$$" in text)


PRICES = ["It costs $5 and $6.", "$5-$10", "from $HOME to $PATH", "a $ b $ c", r"\$a\$", "`$a$`", "$5 for two and 7$"]


@pytest.mark.parametrize("text", PRICES)
def test_prices_and_variables_are_no_formulas(text: str) -> None:
    assert "<math" not in render(text)


def test_lines_of_a_formula_are_no_lists_or_headings() -> None:
    """What stands in a formula is not Markdown; a mark behind its end belongs to it."""
    html = render("So:\n\\[\na\n- b\n= c_1 * d_1 * e\n\\].\n\nand *so* on")
    assert html.count("<math") == 1
    assert "<ul>" not in html
    assert "<em>so</em>" in html


UNKNOWN = [r"\foo{x", r"\href{javascript:x}{y}", r"\newcommand{\a}{\a\a}\a", "x" * (SOURCE_MAX + 1), "{"]


@pytest.mark.parametrize("source", UNKNOWN, ids=range(len(UNKNOWN)))
def test_what_cannot_be_converted_is_shown_as_code(source: str) -> None:
    """Unknown commands, definitions and formulas that are too long."""
    html = mathml(source)
    assert html.startswith("<code>")
    assert "<math" not in html


def test_alignment_is_a_class() -> None:
    """Styles do not pass the policy of the page."""
    html = render("$$\n\\begin{aligned}a&=b\\\\&=c\\end{aligned}\n$$ ")
    assert 'class="math-right"' in html
    assert " style=" not in html


HOSTILE = ["{", "}", "\\frac{", "\\sqrt", "x^{", "\\left(", "\\begin{pmatrix}", "\\text{", "&", "\\\\", "<b>", "a_1 "]


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_formulas_are_bounded_and_safe(unit: str) -> None:
    """The longest formula of any repeated part takes little time, and is what the cleaner lets pass."""
    began = time.process_time()
    for source in (unit * (SOURCE_MAX // len(unit)), unit * 100 + "}" * 100):
        html = mathml(source, True)
        assert html.startswith(("<math", "<code>"))
        assert "<b>" not in html
        assert render(f"\\({source}\\)") == clean_html(render(f"\\({source}\\)"))
    assert time.process_time() - began < 2


BAD = [
    '<math><annotation-xml encoding="text/html"><script>run()</script></annotation-xml></math>',
    '<math href="javascript:run()"><mi href="https://x.example/">x</mi></math>',
    '<math><maction actiontype="statusline"><mi>x</mi></maction></math>',
    '<math><mi style="color:red" onclick="run()" id="a">x</mi></math>',
    '<math><mglyph src="https://x.example/a.png"></mglyph></math>',
    "<math><semantics><mi>x</mi><annotation>y</annotation></semantics></math>",
    "<math><mtext><img src=x onerror=run()></mtext></math>",
    '<math><mtext></form><form><mglyph><style></math><img src onerror="run()">',
]


@pytest.mark.parametrize("html", BAD, ids=range(len(BAD)))
def test_only_what_shows_formulas_passes_the_cleaner(html: str) -> None:
    """No other markup, no foreign address, no handler and no style."""
    tags = "".join(re.findall(r"<[^>]*>", re.sub(r'<img src="x?">', "", clean_html(html))))
    assert not re.search(r"script|href|action|style|onclick|onerror|id=|mglyph|semantics|annotation|src", tags), tags
