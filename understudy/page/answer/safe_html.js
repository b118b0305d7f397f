/**
 * The one place where markup, and the address of a script, enters the page.
 *
 * Markup is what `answer/markdown` makes of an answer. It passes DOMPurify with a short list of elements and attributes, whatever
 * has made it, and becomes nodes: no text is given to `innerHTML`.
 */

import { ROOT } from "../client/address.js";

const SCRIPTS = new Set([`${ROOT}/worker.js`, `${ROOT}/chart-worker.js`]);
const policy = globalThis.trustedTypes?.createPolicy("understudy", {
  createHTML: (html) => html, // for DOMPurify alone, which parses it into a document that is not shown
  createScriptURL: (url) => (SCRIPTS.has(url) ? url : null),
}) ?? null;

const CONFIG = Object.freeze({
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "li", "ol", "p", "pre", "s", "span",
    "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul", "#text",
    // MathML without what links, runs, embeds or annotates
    "math", "menclose", "merror", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom", "mprescripts", "mroot", "mrow",
    "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover",
  ],
  ALLOWED_ATTR: [
    "align", "alt", "class", "href", "src", "start", "title",
    "accent", "accentunder", "columnspan", "depth", "display", "displaystyle", "fence", "form", "height", "largeop", "linethickness",
    "lspace", "mathvariant", "maxsize", "minsize", "movablelimits", "notation", "rowspan", "rspace", "scriptlevel", "separator", "stretchy",
    "symmetric", "voffset", "width",
  ],
  ALLOWED_URI_REGEXP: /^(?:(?:https?|mailto):|(?![a-z][a-z0-9+.-]*:)[^\s\\])/i,
  ALLOW_ARIA_ATTR: false, ALLOW_DATA_ATTR: false, ALLOW_UNKNOWN_PROTOCOLS: false, RETURN_DOM_FRAGMENT: true,
  ...(policy && { TRUSTED_TYPES_POLICY: policy }),
});
const CLASSES = /^(?:hljs-[\w-]+|[a-z]+_{1,2}|tml-[\w-]+|math[a-z]*|highlight|continued|language|task|done|footnote|image|leads-to)$/;

/** The address of a script that the browser may run by itself: only those of the workers. */
export function scriptUrl(url) {
  return policy ? policy.createScriptURL(url) : url;
}

/** A function that returns the nodes of a text of HTML, with what is listed here alone. `leadsTo` is that of `leads_to.js`. */
export function cleanerOf(DOMPurify, leadsTo) {
  const purify = DOMPurify(window);
  purify.addHook("uponSanitizeAttribute", (_node, data) => {
    if (data.attrName === "class") data.attrValue = data.attrValue.split(/\s+/).filter((name) => CLASSES.test(name)).join(" ");
    if (data.attrName === "class" && data.attrValue === "") data.keepAttr = false;
  });
  purify.addHook("afterSanitizeAttributes", (node) => {
    if (node.localName === "a") declare(node, leadsTo);
    if (node.localName === "img" && leadsElsewhere(node.getAttribute("src") ?? "")) node.remove();
  });
  return (html) => purify.sanitize(html, CONFIG);
}

/** Whether the browser would ask another host for this address. */
function leadsElsewhere(address) {
  return new URL(address, location.href).origin !== location.origin;
}

/** Takes the address of a link that names a user before its host, and says where one leads whose words name another host. */
function declare(link, leadsTo) {
  const address = link.getAttribute("href");
  if (address === null) return;
  const { password, username } = URL.canParse(address, location.href) ? new URL(address, location.href) : { username: address };
  if (username !== "" || password !== "") {
    link.removeAttribute("href");
    return;
  }
  if (address.startsWith("#")) return;
  const words = [link.textContent, link.title, ...Array.from(link.querySelectorAll("img"), ({ alt }) => alt)].join(" ");
  const told = leadsTo(words, address, location.href);
  if (told === null) return;
  const box = link.appendChild(link.ownerDocument.createElement("span"));
  box.className = "leads-to";
  box.textContent = ` (${told})`;
}
