"""How providers say that they refuse a request."""

import tomllib
from pathlib import Path
from typing import Final

REFUSALS: Final = tomllib.loads((Path(__file__).parent / "refusals.toml").read_text(encoding="utf-8"))
