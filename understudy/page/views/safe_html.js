/**
 * The one place where markup enters the page.
 *
 * It takes only what the server rendered and cleaned (`blocks[].html`, `data.html`); nothing a user typed and
 * nothing a tool returned comes here.
 */

const policy = globalThis.trustedTypes?.createPolicy("understudy", { createHTML: (html) => html }) ?? null;

/** Shows `html`, made safe by the server, in `element`. */
export function setSafeHtml(element, html) {
  element.innerHTML = policy ? policy.createHTML(html) : html;
}
