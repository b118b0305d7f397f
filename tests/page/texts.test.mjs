import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { literals } from "./literals.mjs";

const PAGE = new URL("../../understudy/page/", import.meta.url);
/** Loaded by other sites without the catalogues: the button has a few texts of its own, and the other speaks to developers. */
const FOR_SITES = new Set(["widget.js", "embed/refused.js"]);
const files = (pattern) => readdirSync(PAGE, { recursive: true }).filter((name) => !/^(?:bundle|lib)\b/.test(name)) // made, not written
  .filter((name) => pattern.test(name) && !/^((admin|observer|client\/messages|answer\/markdown|extensions\/\w+\/messages)\/|extensions\/\w+\/admin\.js$)/.test(name) && !FOR_SITES.has(name))
  .map((name) => ({ name, source: readFileSync(new URL(name, PAGE), "utf8") }));

/** Literals that look like texts for people, and are none. A new text belongs in the catalogue, not here. */
const NO_TEXTS = new Set([
  "Authorization", "Bearer ", // a header
  "Next: ", // begins a thought that servers write
  "English", "Deutsch", // languages, each named in itself
  "understudy", // the product
  "Mermaid", "LaTeX", // languages of code
  "(prefers-reduced-motion: reduce)", "(prefers-color-scheme: dark)", "(any-pointer: coarse)", "(hover: hover)", "noopener noreferrer nofollow", "icon icon-",
]);
/** Before a literal that names a key, a kind or an event, or stands in an error that only developers see, in a console too. */
const NO_READER = /(= = =|! = =|case|new (Range|Type)Error \(|\. (includes|startsWith|endsWith|has|querySelector|querySelectorAll|closest|matches|problem) \()$/;
/** Before a literal that is shown or read aloud, whatever it looks like. */
const SHOWN = /(("aria-label"|"aria-description"|"aria-roledescription"|title|placeholder|alt|textContent) [:=]|setText \( [\w.# ]+ ,|\} ,)$/;

function isText({ text, before }, inView) {
  if (NO_TEXTS.has(text)) return false;
  const context = before.join(" ");
  if (NO_READER.test(context)) return false;
  const sentence = /\p{L}\p{Ll}[\p{L}’']*[,.:;!?…]? +[\p{L}“(]/u.test(text);
  const word = /^\s*\p{Lu}\p{Ll}+[.:!?…]?\s*$/u.test(text);
  const besideValue = /^\s+\p{L}{3,}|\p{L}{3,}[:,]?\s+$/u.test(text);
  const shown = SHOWN.test(context) && /\p{L}{2}/u.test(text);
  return sentence || word || (inView && (besideValue || shown));
}

/** Modules that show nothing themselves. */
const NO_VIEW = /^(client\b|run\/run_summary\.js$|extensions\/widgets\/bridge\.js$)/;

const textsIn = (name, source) => literals(source)
  .filter((literal) => isText(literal, !NO_VIEW.test(name)))
  .map(({ text, line }) => `${name}:${line}: ${text}`);

test("no text stands in code", () => {
  const modules = files(/\.js$/);
  assert.ok(modules.length > 80);
  assert.deepEqual(modules.flatMap(({ name, source }) => textsIn(name, source)), [], "put it into client/messages/{en,de,ar}.js, and say t(key)");
});

test("no text stands in styles", () => {
  for (const { name, source } of files(/\.css$/)) assert.doesNotMatch(source, /content:\s*["'][^"']*\p{L}{2}/u, name);
});

test("numbers and dates are written by the module of messages, in the user's language", () => {
  for (const { name, source } of files(/\.js$/)) {
    if (name === "client/messages.js") continue;
    assert.doesNotMatch(source, /\.toLocale(Date|Time)?String\(|new Intl\./, name);
  }
});

test("a text put into code is found", () => {
  const added = [
    'el("p", {}, "Your chats will stand here.")', 'el("button", {}, "send")', "setText(this.hint, `${count} waiting`)", 'el("a", { title: "save" })',
    'el("a", { "aria-label": `close ${name}` })', 'const word = live ? "Stop" : null;', "return 'Nothing is left';", 'box.textContent = "gone"',
    "const a = `${b ? `${c} things are left` : 1}`;", 'const ends = /"/; const word = "Send now";', 'throw new Error("That cannot be sent.");',
  ];
  for (const line of added) assert.equal(textsIn("views/x.js", line).length, 1, line);
  const others = [
    '// Send it now', '/* el("p", {}, "Send it") */', 'el("div.said-foot", { role: "listitem" })', 'if (event.key === "Enter") send()', 't("action.send")',
    "const pattern = /Send it \"now\"/g;", 'row.querySelector("li:not([hidden]), form")', "el(`div.bubble.is-${status}`, { dir: \"auto\" })",
  ];
  for (const line of others) assert.deepEqual(textsIn("views/x.js", line), [], line);
});
