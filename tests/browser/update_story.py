"""A page whose server is of a newer version, or has other settings. Run by `test_story.py`.

python tests/browser/update_story.py FOLDER
"""

import re
import shutil
import signal
import sys
from pathlib import Path

import served
from offline_story import opened
from playwright.sync_api import BrowserContext, expect
from served import Server, current_browser

PAGE = Path(__file__).resolve().parents[2] / "understudy" / "page"
VERSION = "document.querySelector('meta[name=version]').content"
KEPT_POLICY = """async () => {
  const name = `understudy-${document.querySelector("meta[name=page-version]").content.split("-")[0]}`;
  if ((await navigator.serviceWorker.getRegistration()).installing) return null;
  return (await (await caches.open(name)).match("/")).headers.get("Permissions-Policy");
}"""
"""Returns the header that is kept with the version that is shown; null while a worker is installed."""
NEWER = "There is a newer version of this page."
OTHER_SETTINGS = "The server has new settings."


def change(site: Path, version: int) -> None:
    """Make what an installed wheel has: a page of a bundle, which differs by its version."""
    index = site / "bundle" / "index.html"
    html = re.sub('<meta name="version" content="[0-9]+">', "", index.read_text())
    for packed in index.parent.glob("index.html.*"):
        packed.unlink()
    index.write_text(html.replace("<title>", f'<meta name="version" content="{version}"><title>'))


def move_to_a_newer_version(context: BrowserContext, folder: Path) -> None:
    """A newer version asks while two tabs are open, and comes by itself when one tab loads the page again."""
    site = folder / "site"
    shutil.copytree(served.page or PAGE, site)
    if not (site / "bundle").exists():  # run by hand in a checkout without one
        (site / "bundle").mkdir()
        for name in ("index.html", "observer.html"):
            shutil.copy(site / "index.html", site / "bundle" / name)
    change(site, 1)
    served.page = site
    server = Server(folder / "versions")
    try:
        first, other = opened(context, server), opened(context, server)
        server.stop(signal.SIGTERM)
        change(site, 2)
        server.start()
        first.reload()
        expect(first.get_by_text(NEWER)).to_be_visible()
        assert first.evaluate(VERSION) == "1"
        with first.expect_navigation():
            first.get_by_role("button", name="Reload").click()
        expect(first.locator("meta[name=version]")).to_have_attribute("content", "2")
        expect(other.get_by_text(NEWER)).to_be_visible()
        assert other.evaluate(VERSION) == "1", "a tab that nobody asked was loaded again"
        other.close()

        server.stop(signal.SIGTERM)
        change(site, 3)
        server.start()
        first.reload()
        expect(first.get_by_text(NEWER)).to_be_visible()
        address = first.url
        first.reload()
        expect(first.locator("meta[name=version]")).to_have_attribute("content", "3")
        expect(first.get_by_text("Online")).to_be_visible()
        assert first.url == address
        assert context.browser is not None
        keep_the_version(context.browser.new_context(), server, site)
    finally:
        server.stop(signal.SIGTERM)


def keep_the_version(context: BrowserContext, server: Server, site: Path) -> None:
    """No version is newer after a restart with another setting, nor when the server goes back to the version shown."""
    first, other = opened(context, server), opened(context, server)
    assert "microphone=()" in first.evaluate(KEPT_POLICY)
    server.stop(signal.SIGTERM)
    server.start(UNDERSTUDY_PAGE_VOICE_INPUT="true")
    for tab in (first, other):
        tab.reload()
        tab.wait_for_function(f"async () => ((await ({KEPT_POLICY})()) ?? '').includes('microphone=(self)')")
        expect(tab.get_by_text("Online")).to_be_visible()
        expect(tab.get_by_text(NEWER)).to_have_count(0)
        expect(tab.get_by_text(OTHER_SETTINGS)).to_have_count(1 if tab is first else 0)
    with first.expect_navigation():
        first.get_by_role("button", name="Reload").click()
    expect(first.get_by_text("Online")).to_be_visible()
    assert first.evaluate("document.featurePolicy?.allowsFeature('microphone') ?? true")
    expect(first.get_by_text(OTHER_SETTINGS)).to_have_count(0)

    for version in (4, 3):
        server.stop(signal.SIGTERM)
        change(site, version)
        server.start()
        first.reload()
        expect(first.get_by_text(NEWER)).to_have_count(1 if version == 4 else 0)
    first.wait_for_function(f"async () => (await ({KEPT_POLICY})()) !== null")
    first.reload()
    expect(first.get_by_text("Online")).to_be_visible()
    assert first.evaluate(VERSION) == "3"
    expect(first.get_by_text(NEWER)).to_have_count(0)


def main(folder: Path) -> None:
    """Play the story."""
    with current_browser() as browser:
        move_to_a_newer_version(browser.new_context(), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
