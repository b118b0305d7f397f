"""The benchmark of the sanitizer, with a corpus and texts too small for meaningful numbers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scrub
from benchmarks.__main__ import main
from benchmarks.figure import Figure
from benchmarks.scrub import chat, corpus, hostile, page, peers, rates
from sanitization import Action, Category
from tests.rigs.sanitizer_samples import SECRETS

TOKEN = SECRETS["secret.github.token"]


def row(name: str, text: str, *spans: tuple[int, int], **more: str) -> dict[str, Any]:
    """Return a row in the format of a corpus."""
    expect: object = [{"kind": f"kind.{name}", "start": start, "end": end} for start, end in spans] or "clean"
    return {"id": name, "category": "attack" if spans else "benign", "text": text, "expect": expect, **more}


ROWS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "xss": [row("script", "<script>x</script>", (0, 18)), row("image", "![a](https://evil.test/x)", (0, 25))],
    "xss_benign": [row("text", "a < b & c"), row("markup", "<b>bold</b>"), row("types", "Vec<List<int>>")],
    "secrets": [
        row("token", f"use {TOKEN}", (4, 4 + len(TOKEN))),
        row("wide", f"use {TOKEN} now", (0, 4 + len(TOKEN))),
        row("none", "nothing here", (0, 7)),
    ],
    "secrets_benign": [row("prose", "plain words"), row("real", f"it is {TOKEN}")],
    "pii": [],
    "pii_benign": [],
    "injection": [row("talk", "and then?", (0, 9)) | {"category": "attack_contextual"}],
    "injection_benign": [row("weather", "What is the weather like?")],
    "terminal": [row("colour", "\x1b[1mbold", (0, 4))],
    "terminal_benign": [],
    "unicode": [row("tags", "a\U000e0041b", (1, 2)), row("nel", "a\x85b", (1, 2))],
    "unicode_benign": [row("family", "👩‍💻"), row("hidden", "a\u200bb")],
}


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """Return a folder with these rows."""
    for name, rows in ROWS.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path


def judged(corpora: Path, name: str) -> corpus.Report:
    """Return the report on one family."""
    (family,) = [family for family in corpus.FAMILIES if family.name == name]
    return corpus.report(corpora, family)


def test_a_span_is_found_exactly_or_covered_or_not(corpora: Path) -> None:
    """A row passes if all of its spans are covered and no part of a secret is left; exact spans are counted
    separately.
    """
    report = judged(corpora, "secrets")
    assert [(attack.row.id, attack.passed, attack.exact) for attack in report.attacks] == [
        ("token", True, 1),
        ("wide", False, 0),
        ("none", False, 0),
    ]
    assert [verdict.passed for verdict in report.benign] == [True, False]
    assert (round(report.recall), round(report.exact), report.false_alarms) == (33, 33, 50)
    assert report.categories() == {"attack": (1, 3), "benign": (1, 2)}
    assert [miss.row.id for miss in report.misses()] == ["wide", "none", "real"]
    assert "secret.github.token[4:44]" in report.misses()[0].line()


def test_hidden_characters_must_be_found_and_honest_ones_unchanged(corpora: Path) -> None:
    """Terminal control characters count as hidden too."""
    report = judged(corpora, "unicode")
    assert (report.recall, report.exact, report.false_alarms) == (100, 100, 50)
    assert judged(corpora, "terminal").recall == 100


def test_rows_that_only_context_makes_attacks_are_left_out(corpora: Path) -> None:
    assert judged(corpora, "injection").attacks == []
    report = judged(corpora, "pii")
    assert (report.recall, report.exact, report.false_alarms, report.misses()) == (0, 0, 0, [])


def test_a_look_alike_of_one_kind_may_be_of_another(corpora: Path) -> None:
    """`only_for` names the kind for which the row is a look-alike."""
    (corpora / "secrets_benign.jsonl").write_text(
        "".join(
            f"{json.dumps(row(kind, TOKEN, only_for=kind))}\n" for kind in ("github_token", "github", "npm_token", "*")
        )
    )
    assert [verdict.passed for verdict in judged(corpora, "secrets").benign] == [False, True, True, False]


def test_a_row_that_is_none_is_an_error(corpora: Path) -> None:
    (corpora / "secrets.jsonl").write_text("not json\n")
    with pytest.raises(ValueError, match="Expecting value"):
        judged(corpora, "secrets")


def test_pages_are_judged_by_the_browser(corpora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def browser(pages: Sequence[str]) -> list[list[str]]:
        asked.extend(pages)
        return [["it runs"] if "evil" in page else [] for page in pages]

    monkeypatch.setattr(page, "inert", browser)
    monkeypatch.setattr(page, "pages", lambda text: (f"<b>{text}</b>", text.replace("<", "&lt;")))
    assert page.inert_pages(["good", "evil", "good", "<evil"]) == [True, False, True, False]
    assert sorted(asked) == ["<b><evil</b>", "<b>evil</b>", "<b>good</b>"]


@pytest.mark.proof("benchmarks")
@pytest.mark.needs("chromium")
def test_markup_is_inert_and_reads_the_same(corpora: Path) -> None:
    report = judged(corpora, "markup")
    assert (report.recall, report.false_alarms) == (100, 0)


@pytest.mark.parametrize(
    ("text", "same"),
    [("a < b", True), ("<p>a <b>b</b></p>", True), ("`<script>`", True), ("<svg><text>y</text></svg>", True)],
)
def test_what_there_is_to_read(text: str, same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is unchanged and either page has all words; a page that loses some differs."""
    assert page.same_to_a_reader(text) is same
    monkeypatch.setattr(page, "pages", lambda text: ("", ""))
    assert not page.same_to_a_reader(text)


def test_misses_are_listed_and_nothing_else_is_measured(corpora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One family by name: figures are printed as JSON, misses on the error output."""
    assert main(["scrub", "--corpora", str(corpora), "--misses", "secrets", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["figure"] for line in out.splitlines()] == [
        "recall_secrets",
        "false_alarms_secrets",
        "exact_secrets",
    ]
    assert [line.split()[2] for line in err.splitlines() if " missed " in line] == ["wide", "none", "real"]
    assert "attack                      1 of    3 pass" in err


def test_every_figure_of_speed_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Each figure is above zero, without a corpus, with the installed peers."""
    figures = {figure.figure: figure for figure in scrub.figures(scrub.QUICK)}
    assert [name for name, figure in figures.items() if figure.ours <= 0] == []
    assert set(figures) == {
        *("scrub_mb_s", "scrub_dense_mb_s", "message_us", "worst_mb_s", "worst_html_mb_s"),
        *("delta_us", "delta_start_us", "delta_mean_us", "delta_open_us"),
    }
    assert {name for name, _ in peers.others()} == set(figures["scrub_mb_s"].peers)
    assert isinstance(figures["delta_us"], Figure)
    assert "no recall" in capsys.readouterr().err


def test_the_conversation_is_varied_and_always_the_same() -> None:
    """Prose, code, addresses, people and emoji; the same characters on each run."""
    text = chat.chat(200_000)
    assert len(text) == 200_000
    assert chat.chat(200_000) == text
    assert chat.chat(200_000, chat.DENSE).count("://") > 3 * text.count("://") > 30
    for part in ("```python", "https://", "@example.org", "👩‍💻", " °C", "| --- |", "+49"):
        assert part in text
    assert len(set(chat.messages(100_000))) > 100
    assert not any("{n}" in message or "{m}" in message for message in chat.messages(100_000))


def test_hostile_texts_are_many_and_of_one_size() -> None:
    """At least thirty different texts, none much shorter than requested."""
    texts = dict(hostile.texts(10_000))
    assert len(texts) >= 30
    assert len(set(texts.values())) == len(texts)
    assert [name for name, text in texts.items() if not 5_000 < rates.size(text) <= 10_000 * 4] == []


def test_every_detector_is_on() -> None:
    assert dict(rates.ALL_ON.outbound) == dict.fromkeys(Category, Action.REMOVE)
