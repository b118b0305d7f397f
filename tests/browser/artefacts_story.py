"""What tools make: files as cards, previews, a panel beside the chat. Run by `test_story.py`.

python tests/browser/artefacts_story.py FOLDER [SCREENSHOTS]
"""

import re
import sys
from pathlib import Path

from making_agents import png
from playwright.sync_api import Locator, Page, Route, expect
from served import NARROW, WIDE, Server, current_browser, picture, watched

LINES = "each => { const text = new Range(); text.selectNodeContents(each); return text.getClientRects().length; }"
"""Counts the lines of an element's text."""
FADES = "each => getComputedStyle(each, '::after').content !== 'none'"
"""Whether a preview fades out at its end, as it does if there is more."""
SMALL = {"UNDERSTUDY_FILES_MAX_BYTES": "1000000"}
DROP = """(name) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File(["12345"], name, { type: "text/plain" }));
  const stage = document.querySelector(".stage");
  for (const type of ["dragover", "drop"]) {
    stage.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
  }
}"""
PASTE = """(box, text) => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", text);
  box.focus();
  box.setSelectionRange(box.value.length, box.value.length);
  const pasted = new ClipboardEvent("paste", { bubbles: true, cancelable: true });
  Object.defineProperty(pasted, "clipboardData", { value: clipboardData }); // Firefox ignores that of the constructor
  box.dispatchEvent(pasted);
}"""


def ask(page: Page, agent: str, text: str) -> None:
    """Pick an agent, write a message and send it."""
    page.get_by_role("button", name=re.compile("^Agent")).click()
    page.get_by_role("option", name=re.compile(agent, re.IGNORECASE)).click()
    page.get_by_role("textbox", name="Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def fits(page: Page) -> bool:
    """Return whether nothing scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def files(page: Page, shots: Path | None) -> None:
    """Six files: each has a card; none runs; each is saved as it is; the panel closes by Escape."""
    ask(page, "maker", "Make them")
    cards = page.get_by_role("list", name="Files and tables of this answer")
    for name in ("sales.csv", "page.html", "plot.png", "plot.svg", "double.py", "data.bin"):
        expect(cards.get_by_role("button", name=f"Open {name}")).to_be_visible()
    items = cards.get_by_role("listitem")
    table, html, drawn = (items.filter(has_text=name) for name in ("sales.csv", "page.html", "plot.svg"))
    table.scroll_into_view_if_needed()  # a preview is read when its card is seen
    expect(table.get_by_role("cell", name="shop 3", exact=True)).to_be_visible()
    expect(html.get_by_text("document.title = 'broken'")).to_be_visible()
    drawn.scroll_into_view_if_needed()
    expect(drawn.get_by_role("img", name="plot.svg")).to_be_visible()
    assert page.title() != "broken"
    for file, cut in ((table, True), (html, False)):
        shown = file.locator(".file-preview")
        assert shown.evaluate(FADES) is cut
        assert cut or shown.locator(".code").bounding_box() == shown.locator(".preview").bounding_box()
    picture(page, shots, "files")

    with page.expect_download() as download:
        html.get_by_role("button", name="Download page.html").click()
    assert download.value.suggested_filename == "page.html"
    assert "<script>" in download.value.path().read_text()

    opener = cards.get_by_role("button", name="Open sales.csv")
    panel = open_panel(page, opener, "sales.csv")
    expect(panel.get_by_role("row")).to_have_count(51)
    expect(panel.get_by_text("The first 50 rows")).to_be_attached()
    stage = page.locator(".stage").bounding_box()
    beside = panel.bounding_box()
    assert stage
    assert beside
    assert beside["x"] >= stage["x"] + stage["width"] - 1
    picture(page, shots, "files-panel")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(opener).to_be_focused()

    page.set_viewport_size(NARROW)
    opener = cards.get_by_role("button", name="Open double.py")
    panel = open_panel(page, opener, "double.py")
    expect(panel.get_by_text("def double")).to_be_visible()
    sheet = panel.bounding_box()
    assert sheet == {"x": 0, "y": 0, **{name: float(size) for name, size in NARROW.items()}}
    assert fits(page)
    picture(page, shots, "files-sheet")
    page.set_viewport_size(WIDE)  # the sheet becomes a column, and closes as one
    page.set_viewport_size(NARROW)
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(opener).to_be_focused()
    picture(page, shots, "files-phone")
    page.set_viewport_size(WIDE)

    page.reload()
    expect(cards.get_by_role("button", name="Open data.bin")).to_be_visible()
    panel = open_panel(page, cards.get_by_role("button", name="Open data.bin"), "data.bin")
    expect(panel.get_by_text("cannot be shown here")).to_be_visible()
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()


def charts(page: Page, shots: Path | None) -> None:
    """A chart follows theme and width, tells its values, and is saved; an old one is its picture; one that cannot be
    drawn is its table."""
    requests = list[str]()
    page.on("request", lambda request: requests.append(request.url))
    ask(page, "maker", "Draw a line")
    plot = page.get_by_role("application", name=re.compile("^Sales by month"))
    image = plot.locator("img")
    expect(image).to_be_visible()
    drawn = str(image.get_attribute("src"))
    page.evaluate("document.documentElement.dataset.theme = 'dark'")  # Playwright cannot emulate it in Firefox
    expect(image).not_to_have_attribute("src", drawn)
    picture(page, shots, "chart-dark")
    drawn = str(image.get_attribute("src"))
    page.evaluate("delete document.documentElement.dataset.theme")
    expect(image).not_to_have_attribute("src", drawn)
    origin = page.evaluate("location.origin")
    assert all(url.startswith((origin, "blob:")) for url in requests), requests
    assert page.request.get(f"{origin}/chart-worker.js").headers["content-security-policy"] == "default-src 'none'"

    plot.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("status").get_by_text("month: Feb 2025, sales: 76; 2 of 12")).to_be_attached()
    page.keyboard.press("End")
    expect(plot.locator(".plot-tip")).to_have_text("month: Dec 2025sales: 96")
    page.keyboard.press("Escape")
    expect(plot.locator(".plot-tip")).to_be_hidden()
    box = plot.bounding_box()
    assert box
    page.mouse.move(box["x"] + 20, box["y"] + 150)
    expect(plot.locator(".plot-tip")).to_have_text("month: Jan 2025sales: 38")
    picture(page, shots, "chart")

    chart = page.locator("figure").filter(has=plot)
    chart.get_by_text("Show as table (12 rows)").click()
    expect(chart.get_by_role("row").nth(12)).to_have_text(re.compile("Dec 2025.*96"))
    for name, begin in (("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("CSV", b"month,sales")):
        with page.expect_download() as download:
            chart.get_by_role("button", name=f"Download as {name}").click()
        assert download.value.suggested_filename == f"sales-by-month.{name.lower()}"
        assert download.value.path().read_bytes().startswith(begin)
    opener = chart.get_by_role("button", name="Show the chart large")
    panel = open_panel(page, opener, "Sales by month")
    expect(panel.get_by_role("application").locator("img")).to_be_visible()
    picture(page, shots, "chart-panel")
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()

    page.set_viewport_size(NARROW)
    page.wait_for_function("one => one.naturalWidth < innerWidth", arg=image.element_handle())
    assert image.evaluate("one => one.offsetWidth === one.naturalWidth"), "its texts are smaller"
    assert fits(page)
    chart.scroll_into_view_if_needed()
    picture(page, shots, "chart-phone")
    ask(page, "maker", "Show an old chart")
    old = page.get_by_role("img", name=re.compile("An old chart"))
    expect(old).to_be_visible()
    expect(old).to_have_js_property("offsetWidth", 640)  # its texts are as large as on a wide screen
    assert page.title() != "broken"
    assert fits(page)
    ask(page, "maker", "Draw the impossible")
    chart = page.locator("figure").filter(has_text="Impossible")
    expect(chart.get_by_text("This chart cannot be drawn; its data is below.")).to_be_visible()
    expect(chart.get_by_role("row").nth(12)).to_be_visible()
    expect(chart.get_by_role("button", name=re.compile("^Download as"))).to_have_text(["CSV"])
    picture(page, shots, "chart-impossible")
    page.set_viewport_size(WIDE)


def tables(page: Page, shots: Path | None) -> None:
    """A table of an answer is sorted by its heads and saved; no date is broken, and no two tables have one name."""
    ask(page, "maker", "Say a table")
    table = page.get_by_role("group", name="Table: column, type, nulls, distinct, min, max, mean, note")
    expect(table).to_be_visible()
    first = table.get_by_role("row").nth(1)
    head = table.get_by_role("columnheader", name="mean")
    head.get_by_role("button").click()
    expect(first).to_have_text(re.compile("shop"))
    expect(head).to_have_attribute("aria-sort", "ascending")
    head.get_by_role("button").press("Enter")
    expect(first).to_have_text(re.compile("sales"))
    head.get_by_role("button").press("Enter")
    expect(first).to_have_text(re.compile("date"))
    expect(head).to_have_attribute("aria-sort", "none")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").last.click()
    assert download.value.path().read_text().startswith("column,type,nulls")
    page.set_viewport_size(NARROW)
    date = table.get_by_role("cell", name="2025-01-03")
    assert date.evaluate(LINES) == 1, "the date is broken"
    assert fits(page)
    picture(page, shots, "table-phone")
    page.set_viewport_size(WIDE)
    picture(page, shots, "table")


def attachments(page: Page, folder: Path, shots: Path | None) -> None:
    """A picture is seen before and after it is sent; an upload is retried and cancelled; limits are the server's."""
    photo, large = folder / "photo.png", folder / "large.txt"
    photo.write_bytes(png(640, 400))
    large.write_bytes(b"x" * 1_100_000)
    held: list[Route] = []
    page.route("**/api/files", lambda route: route.abort())
    page.locator("input[type=file]").set_input_files(photo)
    attached = page.get_by_role("list", name="Attached files")
    again = attached.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    page.unroute("**/api/files")
    again.click()
    thumbnail = attached.get_by_role("button", name="Open photo.png")
    expect(attached.get_by_text(re.compile(r"^\d[.\d]* K?B$"))).to_be_visible()
    panel = open_panel(page, thumbnail, "photo.png")
    expect(panel.get_by_role("img", name="photo.png")).to_be_visible()
    page.keyboard.press("Escape")
    expect(thumbnail).to_be_focused()

    page.locator("input[type=file]").set_input_files(large)
    expect(attached.get_by_text("1.0 MB is more than the 977 KB a file may have.")).to_be_visible()
    attached.get_by_role("button", name="Remove large.txt").click()

    page.route("**/api/files", lambda route: held.append(route))
    page.evaluate(DROP, "notes.txt")
    expect(attached.get_by_text(re.compile("5 B$"))).to_be_visible()
    expect(attached.get_by_text(re.compile("^0%"))).to_have_count(0)
    picture(page, shots, "uploading")
    attached.get_by_role("button", name="Remove notes.txt").click()
    expect(attached.get_by_text("notes.txt")).to_have_count(0)
    page.unroute("**/api/files")

    box = page.get_by_role("textbox", name="Message", exact=True)
    box.fill("Look: ")
    box.evaluate(PASTE, "name\tsales\nnorth\t5\nsouth\t7\n")
    pasted = page.get_by_role("group", name="Pasted text or table")
    expect(pasted.get_by_text("A table of 3 rows and 2 columns was pasted.")).to_be_visible()
    expect(attached.get_by_text("pasted table.csv")).to_be_visible()
    picture(page, shots, "pasted")
    page.set_viewport_size(NARROW)
    assert fits(page)
    picture(page, shots, "pasted-phone")
    page.set_viewport_size(WIDE)
    pasted.get_by_role("button", name="In the message").click()
    expect(attached.get_by_text("pasted table.csv")).to_have_count(0)
    expect(box).to_have_value("Look: \n\n| name | sales |\n| --- | --- |\n| north | 5 |\n| south | 7 |\n")
    pasted.get_by_role("button", name="As plain text").click()
    expect(box).to_have_value("Look: \n\nname\tsales\nnorth\t5\nsouth\t7\n")
    pasted.get_by_role("button", name="As a file").click()
    expect(box).to_have_value("Look: ")
    expect(attached.get_by_text("pasted table.csv")).to_be_visible()
    box.fill("")
    box.evaluate(PASTE, "".join(f"line {number}\n" for number in range(30_000)))
    expect(pasted.get_by_text("A text of 30,000 lines was pasted.")).to_be_visible()
    expect(pasted.get_by_role("button")).to_have_text(["As a file", "In the message", ""])
    expect(attached.get_by_text("pasted text.txt")).to_be_visible()
    expect(box).to_have_value("")
    attached.get_by_role("button", name="Remove pasted text.txt").click()
    box.fill("Say a table")
    page.keyboard.press("Enter")
    sent = page.locator(".said").last
    expect(sent.get_by_role("button", name="photo.png").locator("img")).to_be_visible()
    expect(sent.get_by_role("button", name="pasted table.csv")).to_be_visible()
    expect(page.locator(".composer .stop")).to_be_hidden()
    sent.scroll_into_view_if_needed()
    picture(page, shots, "sent-files")
    open_panel(page, sent.get_by_role("button", name="pasted table.csv"), "pasted table.csv")
    expect(page.get_by_role("dialog").get_by_role("cell", name="south")).to_be_visible()
    page.keyboard.press("Escape")


def open_panel(page: Page, opener: Locator, name: str) -> Locator:
    """Press what opens the panel. Return it."""
    opener.click()
    panel = page.get_by_role("dialog", name=name)
    expect(panel).to_be_visible()
    return panel


def diagrams(page: Page, shots: Path | None) -> None:
    """A diagram is a picture, with its code below it; one that cannot be drawn is code; none runs or asks anybody."""
    page.get_by_role("button", name="New chat").click()
    requests = list[str]()
    page.on("request", lambda request: requests.append(request.url))
    ask(page, "drawer", "Draw")
    blocks = page.locator(".reply .code")
    expect(blocks).to_have_count(4)
    blocks.first.scroll_into_view_if_needed()
    expect(blocks.first.locator(".hljs-keyword").first).to_have_text("defmodule")  # a language that is loaded on demand
    expect(blocks.first.locator("code")).to_contain_text("def count(n), do: n + 1")
    for number in (1, 3):
        blocks.nth(number).scroll_into_view_if_needed()
        expect(blocks.nth(number).get_by_role("img", name="Diagram")).to_be_visible()
        assert blocks.nth(number).get_by_role("img").evaluate("one => one.naturalWidth > 50 && one.naturalHeight > 20")
        expect(blocks.nth(number).locator("pre")).to_be_hidden()
    blocks.nth(1).get_by_text("Source").click()
    expect(blocks.nth(1).locator("pre")).to_contain_text("Plan --> Build --> Test")
    expect(blocks.nth(2).locator("pre")).to_be_visible()
    expect(blocks.nth(2).get_by_role("img")).to_have_count(0)
    assert "broken" not in page.title()
    frame = page.locator("iframe.diagram-frame")
    expect(frame).to_have_attribute("sandbox", "allow-scripts")
    inside = next(each for each in page.frames if each.url.endswith("/diagram"))
    assert inside.evaluate("self.origin") == "null"
    policy = page.request.get(inside.url).headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'; "), policy
    origin = page.evaluate("location.origin")
    assert all(url.startswith((origin, "blob:", "data:")) for url in requests), requests
    assert fits(page)
    picture(page, shots, "diagrams")


def main(folder: Path, shots: Path | None) -> None:
    """Have files made, and look at them."""
    server, problems = Server(folder / "data", options=["tests.browser.making_agents:agents"], **SMALL), list[str]()
    try:
        with current_browser() as browser:
            page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
            page.goto(server.address)
            expect(page.get_by_text("Online")).to_be_visible()
            attachments(page, folder, shots)
            tables(page, shots)
            charts(page, shots)
            files(page, shots)
            diagrams(page, shots)
            assert not problems, problems
    finally:
        server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
