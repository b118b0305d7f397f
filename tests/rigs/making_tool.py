"""A tool that makes files, one of them with a script."""

from understudy import ToolContext, tool

EVIL = b"<html><script>alert(1)</script>\n"


@tool
async def report(context: ToolContext) -> str:
    """Make two files."""
    await context.files.save("Umsätze.csv", "text/csv", b"month,sales\n" + b"2025-01,3\n" * 80)
    await context.files.save("page.html", "text/html", EVIL)
    return "Made."
