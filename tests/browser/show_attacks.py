"""Shows attacks in a browser as a page shows answers. Run by `test_inert.py`, in a process of its own.

python tests/browser/show_attacks.py ADDRESS

Reads a JSON list of texts in Markdown and of markup; writes one of what they did and of what the browser asked for.
"""

import json
import sys

from playwright.sync_api import sync_playwright
from served import ARGUMENTS

from tests.servers.needed import program

SHOW = """async ([texts, markup]) => {
  const { markdownNodes } = await import("/page/markdown.js");
  const { clean } = await import("/page/answer/rendering.js");
  const wrong = [];
  const ran = () => typeof window.x !== "undefined" || window.ran.length > 0;
  window.ran = [];
  for (const name of ["alert", "confirm", "prompt", "print", "open"]) window[name] = () => window.ran.push(name);
  addEventListener("error", ({ message }) => window.ran.push(message));
  // The browser refuses handlers, styles and a base also in the document that DOMPurify reads, where none would act.
  let read = false;
  addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
    const there = read && (blockedURI === "inline" || effectiveDirective === "base-uri");
    if (!there) window.ran.push(`${effectiveDirective} ${blockedURI}`);
  });
  const BAD = /^(?:on|style$|id$|name$|srcset$|action|formaction|xlink)/i;
  async function judge(source, nodes) {
    const box = document.body.appendChild(document.createElement("div"));
    box.append(nodes);
    for (const one of box.querySelectorAll("*")) {
      if (/^(?:script|style|iframe|object|embed|form|input|base|meta|link|svg|video|audio)$/.test(one.localName)) {
        wrong.push([source, one.localName]);
      }
      for (const name of one.getAttributeNames()) if (BAD.test(name)) wrong.push([source, name]);
      const address = one.getAttribute("href");
      if (address !== null && !/^(?:#|https?:|mailto:)/.test(address) && !/^https?:/.test(one.href)) {
        wrong.push([source, address]);
      }
      if (address !== null && one.textContent.includes("bank.example") && !one.textContent.includes("evil.example")) {
        wrong.push([source, one.textContent]);
      }
      const image = one.getAttribute("src");
      if (image !== null && new URL(image, location.href).origin !== location.origin) wrong.push([source, image]);
      if (one.closest("a") === null) one.click?.();
      one.dispatchEvent(new Event("mouseover"));
    }
    await new Promise((done) => setTimeout(done, 0));
    if (ran()) wrong.push([source, "ran", ...window.ran.splice(0)]);
    box.remove();
  }
  for (const text of texts) for (const open of [false, true]) await judge(text, markdownNodes(text, { open }));
  read = true;
  for (const html of markup) await judge(html, clean(html));
  await new Promise((done) => setTimeout(done, 300));
  if (ran()) wrong.push(["later", ...window.ran]);
  return wrong;
}"""
"""Shows texts as answers, finished and open, and markup as if the renderer had been fooled. Returns what it can do."""


def main(address: str) -> None:
    """Judge what the input holds."""
    requests: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program("chromium"), args=ARGUMENTS)
        page = chromium.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"{address}/healthz")  # under the policy of all answers, and without a page of its own
        print(json.dumps([page.evaluate(SHOW, json.load(sys.stdin)), requests]))


if __name__ == "__main__":
    main(*sys.argv[1:])
