"""`understudy scrub`: text is lost nowhere and not delayed, and the exit code reports the result. The tests of pipes,
of a full disk and of memory start the command in a process of its own; the others call it in this one."""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from sanitization import STANDARD, Action, Category, Direction, Sanitizer, everywhere
from tests.rigs.sanitizer_samples import SECRETS
from understudy.cli.main import main
from understudy.extensions.scrubbing import scrub as pipe
from understudy.extensions.scrubbing.scrub import CHUNK, WINDOW, LineIndex, PassthroughEncoder, ScrubCommand

SECRET = SECRETS["secret.github.token"]
COMMAND = [sys.executable, "-m", "understudy", "scrub"]
WAIT_S = 60


Scrub = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def scrub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Scrub:
    """Return a function that runs the command in `tmp_path` and returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(data: bytes, *arguments: str) -> tuple[int, bytes, str]:
        with tempfile.TemporaryFile() as file, monkeypatch.context() as patch:
            file.write(data)
            file.seek(0)
            patch.setattr("sys.stdin", file)
            with pytest.raises(SystemExit) as exited:
                main(["scrub", *arguments], "understudy")
        out, errors = capfdbinary.readouterr()
        return exited.value.code, out, errors.decode()

    return run


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run whose input is written by the test; it is killed at the end if it still runs."""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_text_is_written_and_findings_are_reported_apart() -> None:
    text = f"a < b && c\n\x1b[31mkey\x1b[0m {SECRET}\r\nno end"
    result = subprocess.run(COMMAND, input=text.encode(), capture_output=True, timeout=WAIT_S)
    assert (result.returncode, result.stdout) == (0, b"a < b && c\nkey [redacted]\r\nno end")
    assert result.stderr.decode() == "understudy scrub: redacted: terminal.csi (2), secret.github.token (1)\n"


def test_without_finds_nothing_is_said(scrub: Scrub) -> None:
    assert scrub("Hello, wörld\n".encode()) == (0, "Hello, wörld\n".encode(), "")
    assert scrub(b"") == (0, b"", "")


def test_bytes_that_are_no_utf_8_pass_as_they_are(scrub: Scrub) -> None:
    odd = b"\xef\xbb\xbfna\xefve \xff\xfe\xc3( \xed\xa0\x80 \xf0\x9f\x92\x96 \xe2\x82"
    assert scrub(odd) == (0, odd, "")
    code, out, errors = scrub(b"a\xef\xbb\xbfb")
    assert (code, out) == (0, b"ab")
    assert "invisible.zero_width (1)" in errors


def test_what_came_in_goes_out_before_more_comes() -> None:
    with running() as process:
        for line in (b"first\n", f"then {SECRET}\n".encode(), b"last\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line.replace(SECRET.encode(), b"[redacted]")
        out, errors = process.communicate(timeout=WAIT_S)
        assert (process.returncode, out) == (0, b"")
        assert b"secret.github.token (1)" in errors


def test_a_reader_that_goes_away_ends_it_in_silence() -> None:
    with running() as process:
        process.stdin.write(b"Hello there.\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"Hello there.\n")
        process.stdin.close()
        assert process.wait(WAIT_S) == 141
        assert process.stderr.read() == b""


def test_an_unwritable_output_is_reported() -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(COMMAND, input=b"text\n", stdout=full, stderr=subprocess.PIPE, timeout=WAIT_S)
    assert result.returncode == 2
    assert result.stderr == b"understudy scrub: nothing can be written: No space left on device\n"


MEASURED = """
import atexit, re, sys
atexit.register(lambda: print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1], file=sys.stderr))
from understudy.cli.main import main
main()
"""


def peak(source: Path, target: Path) -> int:
    """Return the peak memory of a run on this file in bytes, as the kernel measured it."""
    with source.open("rb") as text, target.open("wb") as out:
        result = subprocess.run(
            [sys.executable, "-c", MEASURED, "scrub"], stdin=text, stdout=out, stderr=subprocess.PIPE, timeout=WAIT_S
        )
    assert result.returncode == 0
    return int(result.stderr.splitlines()[-1]) * 1024


@pytest.mark.proof("timing")
def test_ten_megabytes_on_one_line_need_little_memory(tmp_path: Path) -> None:
    """Memory grows neither with a line's length nor with the number of findings."""
    small, large, out = tmp_path / "small", tmp_path / "large", tmp_path / "out"
    words = f"word\x1b[0m {SECRET} ".encode() + b"and more of it, " * 600
    small.write_bytes(words * 10)
    large.write_bytes(words * (10_000_000 // len(words)))
    assert peak(large, out) - peak(small, tmp_path / "other") < 16 << 20
    assert out.read_bytes() == large.read_bytes().replace(SECRET.encode(), b"[redacted]").replace(b"\x1b[0m", b"")


def test_check_says_where_and_never_what(scrub: Scrub, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"one\ntwo {SECRET}\n")
    (tmp_path / "b.txt").write_text("nothing here\n")
    (tmp_path / "c.txt").write_bytes(b"\xef\xbb\xbf\x00\n\n  \x1b[2J" + SECRET.encode())
    code, out, errors = scrub(b"", "--check", "a.txt", "b.txt", "c.txt")
    assert (code, errors) == (1, "")
    assert out.decode().splitlines() == [
        "a.txt:2:5: secret.github.token",
        "c.txt:1:1: terminal.control",
        "c.txt:3:3: terminal.csi",
        "c.txt:3:7: secret.github.token",
    ]
    assert scrub(b"", "--check", "b.txt") == (0, b"", "")
    code, out, _ = scrub(f"x {SECRET}".encode(), "--check")
    assert (code, out) == (1, b"-:1:3: secret.github.token\n")


@pytest.mark.parametrize("check", [True, False])
def test_json_is_one_object_a_find(scrub: Scrub, check: bool) -> None:
    text = f"x\n y {SECRET} \x1b[0m"
    code, out, errors = scrub(text.encode(), "--json", *(["--check"] if check else []))
    rows = [json.loads(line) for line in (out.decode() if check else errors).splitlines()]
    assert code == (1 if check else 0)
    assert (errors if check else out.decode()) == ("" if check else "x\n y [redacted] ")
    assert [(row["kind"], row["line"], row["column"], row["start"], row["end"]) for row in rows] == [
        ("secret.github.token", 2, 4, 5, 5 + len(SECRET)),
        ("terminal.csi", 2, 5 + len(SECRET), 6 + len(SECRET), len(text)),
    ]
    assert rows[0] == {
        "file": "-", "line": 2, "column": 4, "start": 5, "end": 5 + len(SECRET), "kind": "secret.github.token",
        "category": "secret", "action": "remove", "score": 1.0, "detector": "secrets", "reasons": [],
    }  # fmt: skip


def test_html_is_made_safe_as_a_whole(scrub: Scrub, tmp_path: Path) -> None:
    code, out, errors = scrub(b"<p onclick=x()>a &lt; b<script>run()</script> \xff</p>", "--html")
    assert (code, out.decode()) == (0, "<p>a &lt; b \ufffd</p>")
    assert "markup.html.handler (1)" in errors
    (tmp_path / "a.html").write_text("<p>\n<script>x()</script>")
    code, out, _ = scrub(b"", "--html", "--check", "a.html")
    assert code == 1
    assert out.decode().splitlines()[0] == "a.html:2:1: markup.html.script"


def test_a_page_beyond_the_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page"
    path.write_bytes(b"x" * (CHUNK + 1))
    monkeypatch.setattr(pipe, "MAX_HTML", CHUNK)
    assert ScrubCommand(STANDARD, Direction.TOOL, html=True).run([str(path)]) == 2
    out, errors = capfd.readouterr()
    assert out == ""
    assert "is too large for --html" in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.txt"], "'missing.txt' does not exist"),
        (["."], "is a directory"),
        (["--policy", "lax"], "--policy takes strict, standard, off, or a file of TOML; 'lax': No such file"),
        (["--policy", "."], "'.': Is a directory"),
        (["--policy", "bad.toml"], "bad.toml: `inbound.pii` is 'hide'; it takes one of"),
        (["--policy", "latin.toml"], "not UTF-8"),
        (["--direction", "up"], "'up' is not one of 'inbound', 'tool', 'outbound'"),
        (["--color"], "No such option"),
    ],
)
def test_wrong_usage_is_a_sentence(scrub: Scrub, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "bad.toml").write_text('[inbound]\npii = "hide"\n')
    (tmp_path / "latin.toml").write_bytes(b"# \xe4\n")
    code, out, errors = scrub(b"text", *arguments)
    assert (code, out) == (2, b"")
    assert words in errors
    assert "Traceback" not in errors


def test_a_closed_input_is_reported() -> None:
    result = subprocess.run(["sh", "-c", '"$@" <&-', "sh", *COMMAND], capture_output=True, timeout=WAIT_S)
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr == b"understudy scrub: the standard input is closed\n"


def test_a_policy_of_ones_own(scrub: Scrub, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'preset = "off"\n[tool]\nterminal = "flag"\n[outbound]\nsecret = "tokenise"\n[inbound]\nsecret = "block"\n'
    )
    (tmp_path / "a").write_text(f"{SECRET}\x1b[0m\n")
    policy = ["--policy", "mine.toml"]
    code, out, errors = scrub(b"", *policy, "a")
    assert (code, out.decode()) == (0, f"{SECRET}\x1b[0m\n")
    assert errors == "understudy scrub: a: found, not redacted: terminal.csi (1)\n"
    other = SECRETS["secret.gitlab.token"].encode()
    code, out, _ = scrub(other, *policy, "--direction", "outbound", "a", "-", "a")
    assert (code, out.decode()) == (0, "[token-1]\x1b[0m\n[token-2][token-1]\x1b[0m\n")
    code, out, errors = scrub(f"one\n{SECRET}\nmore\n".encode(), *policy, "--direction", "inbound")
    assert (code, out.decode()) == (1, "")
    assert errors.endswith("understudy scrub: nothing passes from there on\n")
    assert scrub(f"\x1b{SECRET}".encode(), "--policy", "off") == (0, f"\x1b{SECRET}".encode(), "")


def run_in_process(tmp_path: Path, data: bytes, policy: object = STANDARD, **options: bool) -> int:
    path = tmp_path / "given"
    path.write_bytes(data)
    return ScrubCommand(policy, Direction.TOOL, **options).run([str(path)])  # type: ignore[arg-type]


def test_a_detector_that_fails_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> Iterator[None]:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("sanitization.detectors.terminal.Terminal.find", fails)
    assert run_in_process(tmp_path, b"one\x1b[0m\n") == 1
    out, errors = capfd.readouterr()
    assert out == ""
    assert "the detector 'terminal' failed with RuntimeError" in errors
    assert "nothing passes from there on" in errors
    assert SECRET not in errors


def test_ctrl_c_ends_it_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 130; 1 would mean findings."""

    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipe.os, "read", interrupted)
    assert run_in_process(tmp_path, b"text") == 130
    assert capfd.readouterr() == ("", "")


def test_finds_beyond_the_bound_are_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    policy = evolve(everywhere({Category.TERMINAL: Action.REMOVE}), max_findings=2)
    assert run_in_process(tmp_path, b"a\0" * 5, policy, check=True) == 1
    out, errors = capfd.readouterr()
    assert len(out.splitlines()) == 2
    assert "3 more found, not listed" in errors
    assert run_in_process(tmp_path, b"a\0" * 5, policy, check=True, as_json=True) == 1
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert rows[2:] == [{"file": str(tmp_path / "given"), "omitted": 3, "blocked": False}]


def test_a_files_name_cannot_drive_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a\x1b[2J\nb"
    path.write_bytes(b"\0")
    for check in (True, False):
        ScrubCommand(STANDARD, Direction.TOOL, check=check).run([str(path)])
    out, errors = capfd.readouterr()
    assert "\x1b" not in out + errors
    assert len(out.splitlines()) == len(errors.splitlines()) == 1


@pytest.mark.parametrize("seed", range(3))
def test_lines_and_columns_are_those_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], seed: int
) -> None:
    chance = random.Random(seed)
    pieces = ["word ", "\n", "\r\n", "ä", "💖", "\x1b[1m", f" {SECRET} ", "\u200b", "x" * 300]
    text = "".join(chance.choices(pieces, k=400))
    read = os.read
    monkeypatch.setattr(pipe.os, "read", lambda source, _: read(source, chance.randint(1, 200)))
    policy = everywhere(dict.fromkeys((Category.SECRET, Category.TERMINAL, Category.INVISIBLE), Action.REMOVE))
    clean = Sanitizer(policy).sanitize(text)
    run_in_process(tmp_path, text.encode(), policy)
    assert capfd.readouterr().out == clean.text
    run_in_process(tmp_path, text.encode(), policy, check=True, as_json=True)
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(row["start"], row["end"]) for row in rows] == [(finding.start, finding.end) for finding in clean.findings]
    for row in rows:
        before = text[: row["start"]]
        assert row["line"] == before.count("\n") + 1
        assert row["column"] == len(before) - (before.rfind("\n") + 1) + 1


@given(st.lists(st.text(alphabet="ab\n", max_size=8), max_size=8), st.integers(1, 20))
def test_lines_forget_only_positions_before_the_window(pieces: list[str], window: int) -> None:
    lines, text = LineIndex(window), ""
    for piece in pieces:
        lines.feed(piece)
        text += piece
        for place in range(max(0, len(text) - window), len(text)):
            before = text[:place]
            assert lines.position(place) == (before.count("\n") + 1, place - before.rfind("\n"))
    assert len(lines._starts) <= window + 1


def test_the_window_is_wider_than_what_a_stream_holds_back() -> None:
    """A finding's position is looked up when it comes out; until then the stream holds at most three times a
    detector's reach."""
    stream = Sanitizer().stream()
    reach = max(stage._reach for stage in (*stream._early, stream._late))
    assert CHUNK + 3 * reach < WINDOW


@given(st.lists(st.binary(max_size=6), max_size=6))
def test_bytes_come_out_as_they_came_in(pieces: list[bytes]) -> None:
    encoder = PassthroughEncoder()
    text = b"".join(pieces).decode("utf-8", "surrogateescape")
    cuts = [sum(map(len, pieces[:number])) for number in range(len(pieces) + 1)]
    parts = [text[start:end] for start, end in pairwise(cuts)] + [text[cuts[-1] :]]
    out = b"".join([*map(encoder.encode, parts), encoder.encode("", final=True)])
    assert out == b"".join(pieces)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xc2\x00\x9b31m", "\ufffd\ufffd31m".encode()),  # a control sequence introducer
        (b"\xe2\x80\x00\x8b", "\ufffd\ufffd\ufffd".encode()),  # a zero-width space
        (b"\xf3\x00\xa0\x00\x81\x00\x81 x", "\ufffd\ufffd\ufffd\ufffd x".encode()),  # a tag
        (b"\xff\xf3\x00\xa0\x00\x81\x00\x81", b"\xff" + "\ufffd".encode() * 4),
    ],
)
@pytest.mark.parametrize("size", [1, 2, CHUNK])
def test_bytes_are_not_joined_to_a_character(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    data: bytes,
    expected: bytes,
    size: int,
) -> None:
    read = os.read
    monkeypatch.setattr(pipe.os, "read", lambda source, _: read(source, size))
    for policy in (STANDARD, everywhere({Category.TERMINAL: Action.REMOVE})):
        assert run_in_process(tmp_path, data, policy) == 0
        assert capfdbinary.readouterr().out == expected


def test_only_the_first_of_two_marks_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """However the input is cut, a byte order mark after the first is a hidden character."""
    read = os.read
    for size in (1, 3, 4, CHUNK):
        monkeypatch.setattr(pipe.os, "read", lambda source, _, size=size: read(source, size))
        run_in_process(tmp_path, b"\xef\xbb\xbf\xef\xbb\xbfa\xef\xbb\xbf")
        assert capfdbinary.readouterr().out == b"\xef\xbb\xbfa"


def test_a_partial_write_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    write = os.write
    monkeypatch.setattr(pipe.os, "write", lambda target, data: write(target, data[:7]))
    assert run_in_process(tmp_path, b"one line and another\n" * 10) == 0
    assert capfdbinary.readouterr().out == b"one line and another\n" * 10
