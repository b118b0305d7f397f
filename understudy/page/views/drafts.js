/** What was typed but not sent, by thread, kept across reloads. */

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
