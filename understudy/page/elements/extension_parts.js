/** Finds the parts of extensions for a page, and loads their styles. */

import { el } from "./dom.js";

/** Of these extensions, those that have a part of this page: the server writes their names into its head. */
export function withParts(names) {
  const here = document.querySelector("meta[name=page-extensions]")?.content.split(" ") ?? [];
  return names.filter((name) => here.includes(name));
}

/** Loads a style sheet, once; resolves when it applies. */
export function addStyle({ href }) {
  if (!styles.has(href)) styles.set(href, styled(href).catch((fault) => {
    styles.delete(href);
    throw fault;
  }));
  return styles.get(href);
}

const styles = new Map(); // address -> promise

function styled(href) {
  return new Promise((resolve, reject) => {
    const link = el("link", {
      rel: "stylesheet", href, onload: resolve, onerror: () => {
        link.remove();
        reject(new TypeError(href)); // as an import does
      },
    });
    document.head.append(link);
  });
}
