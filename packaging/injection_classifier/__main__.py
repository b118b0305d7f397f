"""Write the weights of the classifier: `PYTHONPATH=packaging python -m injection_classifier`.

`--check` trains and compares; `--leave-out` measures what is found of families of orders that were not trained on.
"""

import argparse
import sys
from collections.abc import Sequence

from sanitization.detectors.injection.classifier import dump, in_steps

from .leaving_out import measured
from .making import texts
from .training import WEIGHTS, examples, source_of, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Train on all texts and write the weights, or do what an option says. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m injection_classifier", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit code 1 if the stored weights differ")
    parser.add_argument("--leave-out", action="store_true", help="train without each family, and judge it")
    given = parser.parse_args(arguments)
    if given.leave_out:
        for name, percent in measured():
            print(f"{name:<26} {percent:5.1f} %", flush=True)
        return 0
    found = examples(texts())
    print(f"{len(found)} windows, {sum(text.order for text in found)} of them orders", file=sys.stderr)
    written = dump(in_steps(*train(found)), source_of(found))
    if given.check:
        same = written == WEIGHTS.read_text("ascii")
        print("the weights are those of this training" if same else "the weights differ", file=sys.stderr)
        return int(not same)
    WEIGHTS.write_text(written, "ascii")
    print(f"{WEIGHTS.stat().st_size} bytes in {WEIGHTS}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
