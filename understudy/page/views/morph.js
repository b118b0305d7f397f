/**
 * Changing what an element shows into something alike, without replacing what stays: a selection, a scrolled box or a
 * focused button in it is kept, and nothing flickers.
 */

/** Gives `target` the children of `source`, which is used up. Elements with the same name and attributes stay. */
export function morph(target, source) {
  let old = target.firstChild;
  for (let fresh = source.firstChild; fresh !== null;) {
    const next = fresh.nextSibling;
    if (old === null) target.append(fresh);
    else {
      const after = old.nextSibling;
      if (alike(old, fresh)) blend(old, fresh);
      else old.replaceWith(fresh);
      old = after;
    }
    fresh = next;
  }
  while (old !== null) {
    const after = old.nextSibling;
    old.remove();
    old = after;
  }
}

function blend(old, fresh) {
  if (old.nodeType === Node.ELEMENT_NODE) morph(old, fresh);
  else if (old.data === fresh.data) return;
  else if (fresh.data.startsWith(old.data)) old.appendData(fresh.data.slice(old.data.length)); // a selection in it stays
  else old.data = fresh.data;
}

function alike(one, other) {
  if (one.nodeName !== other.nodeName) return false;
  if (one.nodeType !== Node.ELEMENT_NODE) return one.nodeType === Node.TEXT_NODE;
  const names = one.getAttributeNames();
  return names.length === other.getAttributeNames().length
    && names.every((name) => one.getAttribute(name) === other.getAttribute(name));
}
