/** Drafts: text that was typed but not sent, by thread. They survive reloads. */

import { isOnServer } from "../client/threads/known_threads.js";
import { fromJson } from "../client/ids.js";
import { browserStorage, safeStorage } from "../client/safe_storage.js";
import { LEFT } from "../client/connection/session.js";
import { readOnAt } from "../thread/reveal.js";

const PREFIX = "understudy.draft.";

export class Drafts {
  /** `storage` has the shape of `localStorage`. */
  constructor(storage) {
    this.storage = storage;
  }

  /** {text, files: [{id, name, size}], agent: name or null}. */
  read(threadId) {
    try {
      const draft = JSON.parse(this.storage.getItem(PREFIX + threadId) ?? "{}");
      return { text: String(draft.text ?? ""), files: Array.isArray(draft.files) ? draft.files : [], agent: draft.agent ?? null };
    } catch {
      return { text: "", files: [], agent: null };
    }
  }

  /** A draft, which is forgotten. */
  take(threadId) {
    const draft = this.read(threadId);
    this.storage.removeItem(PREFIX + threadId);
    return draft;
  }

  /** Keeps a draft; an empty one is forgotten. */
  write(threadId, draft) {
    if (draft.text.trim() === "" && draft.files.length === 0) this.storage.removeItem(PREFIX + threadId);
    else this.storage.setItem(PREFIX + threadId, JSON.stringify(draft));
  }
}

// What somebody was writing, and where they were, when their session ran out: set aside, not to be seen, until the same user has
// signed in again. Anybody else's sign-in forgets it, as does signing out.

const WORK = ["understudy.draft.", "understudy.outbox."];
const WHOSE = "understudy.whose"; // the user and the tenant of what is stored: known before the server is reached
const PLACE = "understudy.place"; // of one tab

export class LeftWork {
  /** `page` is {client, current, account, transcript, open(id, how)}. */
  constructor(page) {
    this.page = page;
    this.storage = page.client.storage;
    this.tab = safeStorage(browserStorage("sessionStorage"));
  }

  /** Sets it aside for the present user. A guest cannot sign in again. */
  setAside() {
    const { client, current, transcript } = this.page;
    const key = this.storage.getItem(WHOSE);
    if (key === null) return;
    const left = fromJson(this.storage.getItem(LEFT));
    const entries = WORK.flatMap((prefix) => this.storage.keys(prefix)).map((name) => [name, this.storage.getItem(name)]);
    const work = { ...(left?.key === key && left.work), ...Object.fromEntries(entries) }; // another tab may have been first
    this.storage.setItem(LEFT, JSON.stringify({ key, work }));
    this.tab.setItem(PLACE, JSON.stringify({ key, thread: current, fresh: !isOnServer(client, current), place: transcript.place }));
  }

  /** Gives the user who is signed in now what is theirs, and forgets the rest. */
  takeBack() {
    const { page, page: { account: { who } }, storage, tab } = this;
    if (who === null) return;
    const key = JSON.stringify([who.user, who.tenant]);
    if (who.anonymous) storage.removeItem(WHOSE);
    else storage.setItem(WHOSE, key);
    const [left, at] = [fromJson(storage.getItem(LEFT)), fromJson(tab.getItem(PLACE))];
    storage.removeItem(LEFT);
    tab.removeItem(PLACE);
    if (left?.key === key) {
      for (const [name, value] of Object.entries(left.work)) if (storage.getItem(name) === null) storage.setItem(name, value);
      page.client.outbox.reread();
      page.client.delivery.pump();
    }
    if (at?.key !== key || page.composer.holds || page.client.stateOrEmpty(page.current).turns.length > 0) return;
    page.open(at.thread, { fresh: at.fresh, instead: true, late: true });
    if (at.place) readOnAt(page, at.place);
  }
}
