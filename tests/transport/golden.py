"""The golden files: every sample in every dialect, as a client receives it. Other clients' tests read them too.

`python -m tests.transport.golden` says which files differ; only `--write` changes them.
"""

import json
import sys
from pathlib import Path

from tests.transport.samples import SAMPLES
from transport.wire.codec import encode
from transport.wire.dialects import Dialect
from transport.wire.events import AnswerText

FOLDER = Path(__file__).parent / "golden"


def rendered(answer: AnswerText) -> str:
    """Stands for the server's Markdown renderer."""
    return f"<p>{answer.text}</p>"


def frames(dialect: Dialect) -> dict[str, object]:
    """Return the frame of each sample in this dialect; `… (html)` with rendered answers."""
    shown: dict[str, object] = {}
    for name, envelope in SAMPLES.items():
        plain = encode(envelope, dialect)
        rich = encode(envelope, dialect, html=rendered)
        if plain is not None:
            shown[name] = json.loads(plain)
        if rich is not None and rich != plain:
            shown[f"{name} (html)"] = json.loads(rich)
    return shown


def golden_text(dialect: Dialect) -> str:
    """The content of a golden file."""
    return json.dumps(frames(dialect), indent=2, ensure_ascii=False) + "\n"


def golden_path(dialect: Dialect) -> Path:
    """The golden file of a dialect."""
    return FOLDER / f"{dialect.value}.json"


def main(arguments: list[str]) -> int:
    """Compare, or with `--write` rewrite; 1 when something differs and was not written."""
    differing = [
        dialect
        for dialect in Dialect
        if not golden_path(dialect).exists() or golden_path(dialect).read_text("utf-8") != golden_text(dialect)
    ]
    for dialect in differing:
        print(("written: " if "--write" in arguments else "differs: ") + golden_path(dialect).name)
        if "--write" in arguments:
            golden_path(dialect).write_text(golden_text(dialect), "utf-8")
    return 1 if differing and "--write" not in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
