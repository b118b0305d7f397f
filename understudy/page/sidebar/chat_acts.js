/** The actions on a whole chat: rename, pin, archive, tag, export, delete, and those of extensions. */

import { confirmed } from "../elements/dialog.js";
import { saveAs } from "../elements/dom.js";
import { LazyPart } from "../elements/lazy_part.js";
import { t } from "../client/messages.js";

const FORMS = Object.freeze({ markdown: "md", json: "json" });

export class ChatActs {
  /**
   * `api` is an `Api`. `onChanged(threadId, members)`: a chat has these members now; {}: the server knows all that has
   * changed (it tells the user's other tabs and devices itself). `onRemoved(threadId, {elsewhere})`: it is deleted,
   * here or elsewhere. `onFault(error)`: that could not be done.
   * `more(thread)`: what extensions add, {label, icon, act} each.
   */
  constructor(api, { onChanged, onRemoved, onFault, more }) {
    Object.assign(this, { api, onChanged, onRemoved, onFault, more, removing: new Set() });
    this.tags = new LazyPart(() => import("./tags.js"), ({ TagsDialog }) => TagsDialog, onFault);
  }

  /** Changes {title}, {pinned} or {archived}; it is shown at once, and taken back if the server does not do it. */
  async change(thread, members) {
    const before = Object.fromEntries(Object.keys(members).map((name) => [name, thread[name]]));
    this.onChanged(thread.id, members);
    try {
      await this.api.changeThread(thread.id, members);
    } catch (fault) {
      this.onChanged(thread.id, before);
      this.onFault(fault);
      return;
    }
    this.onChanged(thread.id, {}); // the list as it is on the server now
  }

  /** Shows the tags of a chat, to change them; `known` are those of the user. */
  tag(thread, known) {
    return this.tags.use((TagsDialog) => new TagsDialog(thread.tags ?? [], known, async (wanted) => {
      const { tags } = await this.api.changeThread(thread.id, { tags: wanted });
      this.onChanged(thread.id, { tags });
      this.onChanged(thread.id, {});
    }).open());
  }

  /** Saves a chat as a file; `form` is "markdown" or "json". */
  async export(thread, form) {
    try {
      saveAs(await this.api.exportThread(thread.id, form), `${fileName(thread.title || t("chat.new"))}.${FORMS[form]}`);
    } catch (fault) {
      this.onFault(fault);
    }
  }

  async remove(thread) {
    const agreed = await confirmed({
      title: t("sidebar.delete_title"), text: t("sidebar.delete_text", { title: thread.title || t("chat.new") }), agree: t("action.delete"),
    });
    if (!agreed) return;
    this.removing.add(thread.id);
    try {
      await this.api.remove(thread.id);
      this.gone(thread.id);
    } catch (fault) {
      if (fault.status === 404) this.gone(thread.id);
      else this.onFault(fault);
    } finally {
      this.removing.delete(thread.id);
    }
  }

  /** The server does not have a chat any more. It tells all of the user's tabs and devices, this one too. */
  gone(threadId) {
    this.onRemoved(threadId, { elsewhere: !this.removing.has(threadId) });
  }
}

/** A title as the name of a file, on every system. */
function fileName(title) {
  return title.replaceAll(/[\p{Cc}\p{Cf}<>:"/\\|?*]+/gu, " ").replaceAll(/\s+/g, " ").trim().slice(0, 80).replace(/[. ]+$/, "") || "chat";
}
