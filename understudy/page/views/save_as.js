/** Saves what the page has made or read, as a download of the browser. */

import { el } from "./dom.js";

const SAVING_MS = 10_000; // until the browser has taken what it saves

/** `content` is a blob, or the address of what is saved. */
export function saveAs(content, name) {
  const address = typeof content === "string" ? content : URL.createObjectURL(content);
  el("a", { href: address, download: name }).click();
  if (address !== content) setTimeout(() => URL.revokeObjectURL(address), SAVING_MS);
}
