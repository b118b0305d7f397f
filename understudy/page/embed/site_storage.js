/**
 * What a browser stores of a chat in another site, apart from the chat page's own session and from other sites'.
 *
 * Browsers keep a frame's storage apart by the site around it, but not if that is of the same domain as the server. A chat in
 * `www.example.org` must not act for whoever is signed in at `chat.example.org`.
 */

const prefixOf = (origin) => `embed/${origin}/`;

/** A part of `storage`, with the interface of `localStorage`; null if there is none. */
export function siteStorage(storage, origin) {
  return storage === null ? null : new SiteStorage(storage, prefixOf(origin));
}

class SiteStorage {
  constructor(storage, prefix) {
    Object.assign(this, { storage, prefix });
  }

  get #keys() {
    const all = Array.from({ length: this.storage.length }, (_, index) => this.storage.key(index));
    return all.filter((key) => key?.startsWith(this.prefix));
  }

  get length() {
    return this.#keys.length;
  }

  key(index) {
    return this.#keys[index]?.slice(this.prefix.length) ?? null;
  }

  getItem(key) {
    return this.storage.getItem(this.prefix + key);
  }

  setItem(key, value) {
    this.storage.setItem(this.prefix + key, value);
  }

  removeItem(key) {
    this.storage.removeItem(this.prefix + key);
  }
}

/** A window for the client, which hears only what other tabs store in the part of this site. */
export function siteWindow(window, origin) {
  const prefix = prefixOf(origin);
  const filtered = (listener) => ({ key, newValue }) => key?.startsWith(prefix) && listener({ key: key.slice(prefix.length), newValue });
  return {
    document: window.document,
    location: window.location,
    addEventListener: (name, listener, options) => window.addEventListener(name, name === "storage" ? filtered(listener) : listener, options),
    removeEventListener: (...which) => window.removeEventListener(...which),
  };
}
