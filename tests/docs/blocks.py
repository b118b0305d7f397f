"""The Python blocks of a page of the documentation, executed."""

import re

from tests.rigs.doc_tables import DOCS


def defined_by(page: str) -> dict[str, object]:
    """Execute the blocks of a page, one after another. Return what they define."""
    names: dict[str, object] = {"__name__": "page"}
    for block in re.findall(r"```python[^\n]*\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        exec(compile(block, page, "exec"), names)
    return names
