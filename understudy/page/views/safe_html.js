/**
 * The one place where markup, and the address of a script, enters the page.
 *
 * It takes only what the server rendered and cleaned (`blocks[].html`, `data.html`); nothing a user typed and
 * nothing a tool returned comes here.
 */

const SCRIPTS = new Set(["/worker.js"]);
const policy = globalThis.trustedTypes?.createPolicy("understudy", {
  createHTML: (html) => html,
  createScriptURL: (url) => (SCRIPTS.has(url) ? url : null),
}) ?? null;

/** The address of a script that the browser may run by itself: only the service worker's. */
export function scriptUrl(url) {
  return policy ? policy.createScriptURL(url) : url;
}

/** Shows `html`, made safe by the server, in `element`. */
export function setSafeHtml(element, html) {
  element.innerHTML = policy ? policy.createHTML(html) : html;
}
