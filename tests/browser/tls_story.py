"""The page over TLS, and a chat over its WebSocket. Run by `test_story.py`.

python tests/browser/tls_story.py FOLDER [SCREENSHOTS]
"""

import signal
import sys
from pathlib import Path

import trustme
from playwright.sync_api import Browser, expect
from served import Server, current_browser, watched


def chat(browser: Browser, server: Server, table: Path) -> None:
    """Load the page, attach a file, ask and reload."""
    problems: list[str] = []
    page = watched(browser.new_context(ignore_https_errors=True).new_page(), problems)
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(server.address)
    for question, answer in (("What is 6 * 7?", "42"), ("What is 5 * 5?", "25")):
        expect(page.get_by_text("Online")).to_be_visible()
        page.locator("input[type=file]").set_input_files(table)
        expect(page.get_by_text("sales.csv").last).to_be_visible()
        page.get_by_role("textbox", name="Message", exact=True).fill(question)
        page.keyboard.press("Enter")
        expect(page.locator(".reply .prose").last.get_by_text(answer)).to_be_visible()
        page.reload()
    if browser.browser_type.name == "chromium":  # Playwright does not see Firefox's
        assert sockets, "no WebSocket was opened"
        assert all(url.startswith("wss://") for url in sockets), sockets
    assert not problems, problems
    page.context.close()


def main(folder: Path) -> None:
    """Play the story in this process's browser."""
    folder.mkdir(exist_ok=True)
    certificate, key, table = folder / "certificate.pem", folder / "key.pem", folder / "sales.csv"
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(key))
    certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    table.write_text("month,sales\n" + "".join(f"{month},{month * 10}\n" for month in range(1, 13)))
    server = Server(folder / "data", options=["--tls-certificate", str(certificate), "--tls-key", str(key)])
    try:
        with current_browser() as browser:
            chat(browser, server, table)
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
