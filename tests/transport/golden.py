"""The golden files: every sample in every dialect, as a client receives it. Other clients' tests read them too.

`python -m tests.transport.golden` says which files differ; only `--write` changes them.
"""

import json
import sys
from pathlib import Path

from tests.rigs.event_samples import SAMPLES
from transport.wire.codec import encode
from understudy.wire.dialects import Dialect

FOLDER = Path(__file__).parent / "golden"


def frames(dialect: Dialect) -> dict[str, object]:
    encoded = {name: encode(envelope, dialect) for name, envelope in SAMPLES.items()}
    return {name: json.loads(frame) for name, frame in encoded.items() if frame is not None}


def golden_text(dialect: Dialect) -> str:
    return json.dumps(frames(dialect), indent=2, ensure_ascii=False) + "\n"


def golden_path(dialect: Dialect) -> Path:
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
