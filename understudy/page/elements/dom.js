/** Building elements. Text only ever goes in as text nodes. */

/**
 * An element: `el("button.primary", {type: "button", onclick}, "Send", icon)`.
 *
 * `class` and names with a dash (aria-…, data-…), `role`, `for` and `title` become attributes; `on…` are
 * listeners; everything else is a property. null and false children are left out, strings become text nodes.
 *
 * With an `id` that index.html has in its shell (`data-shell`), that element is taken, once, instead of a new one: what
 * was painted stays, with its focus and its text, and the children are put into it.
 */
export function el(selector, properties = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = shellElement(properties.id) ?? document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || ATTRIBUTES.has(name)) element.setAttribute(name, value);
    else element[name] = value;
  }
  const wanted = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  if (element.firstChild === null) element.append(...wanted);
  else arrange(element, wanted.map((child) => (child instanceof Node ? child : document.createTextNode(child))));
  return element;
}

function shellElement(id) {
  const element = id ? document.getElementById(id) : null;
  if (!element?.hasAttribute("data-shell")) return null;
  element.removeAttribute("data-shell");
  return element;
}

const ATTRIBUTES = new Set(["role", "for", "title", "class", "download", "href", "scope"]);

/**
 * Whether a key is part of what an input method composes, such as the Enter that confirms a choice. Safari ends the
 * composition before it tells of that key, which has the code 229 then.
 */
export function composing(event) {
  return event.isComposing || event.keyCode === 229;
}

/** Replaces what an element holds, when it changed. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Keeps `parent`'s children equal to `wanted` with as few moves as possible. */
export function arrange(parent, wanted) {
  const kept = new Set(wanted);
  for (const child of [...parent.childNodes]) if (!kept.has(child)) child.remove(); // else those after it would be moved
  let at = parent.firstChild;
  for (const child of wanted) {
    if (child === at) at = at.nextSibling;
    else parent.insertBefore(child, at);
  }
}

/** Id for a label or a description, unique in the page. */
export function freshId(prefix) {
  counter += 1;
  return `${prefix}-${counter}`;
}

let counter = 0;

// Saves what the page has made or read, as a download of the browser.

const SAVING_MS = 10_000; // until the browser has taken what it saves

/** `content` is a blob, or the address of what is saved. */
export function saveAs(content, name) {
  const address = typeof content === "string" ? content : URL.createObjectURL(content);
  el("a", { href: address, download: name }).click();
  if (address !== content) setTimeout(() => URL.revokeObjectURL(address), SAVING_MS);
}
