/**
 * The parts of extensions on the chat page. Loaded when the page is up, this asks the server which extensions are on, and loads
 * `extensions/NAME/main.js` of those that have one. Its `extend(page)` is called once, with a `page` of
 *
 * - `ask(method, path, body)`: the JSON of an answer of the server; rejects with {code, message}.
 * - `chat`: the page itself, a `ChatPage`: `chat.client` is the protocol client, `chat.agents` the catalogue of agents, `chat.current` the
 *   id of the open chat; `chat.open(threadId)` shows another one.
 * - `lazy(load)`: a function that calls `act(part)` with what `load()` has resolved to, which is called at the first use.
 * - `addDialog({id, picture, title, load})`: a button of the side bar, and a command of the palette. `load()` imports the
 *   dialog when it is first opened, and resolves to what has `show()`.
 * - `addTopDialog({id, picture, title, fits, load})`: a button above the chat that opens a dialog, shown while `fits(agents)`.
 * - `add(kind, one)`, of these kinds:
 *   "chatActs": `offer(thread)` is what can be done with a chat, {label, icon, act}, or null; "accountActs": `offer(who)`, what the
 *   menu of who is signed in has besides. "dataRows": {about, label, look, apart, act}, in the settings what a user can do with their data;
 *   `act(say)` may say how far it is, and resolves to a last sentence; `apart`: it is not seen at first. "settings": {title, element}, a
 *   section of them, see `Settings`. "sections": {title, none, read}, of the inbox, see `InboxView` of notices; `sections()` are those of all.
 *   "known": `work({who, model})` is called when it is known who is signed in, and which model answers. "elements": {place, element}, what is always there, see `Places`. "marks": `of(threadId)` is the mark of a chat in the side bar, or null;
 *   "titles": `of(title)` is what the window is called that has this title; `chat.marked()` says that one of both has changed. "shown":
 *   `work(state)` is called when the open chat stands on the screen, in this state. "answers": {fits(turn), load}, what stands below the
 *   answers of turns that it fits; `load()` resolves to `make(page)` of a view, {element, update(turn), inUse, destroy()}, see `AnswerParts`.
 *   "intakes": what takes files into the composer, see `takeFilesBy`.
 * - `addStyle(url)`: loads a style sheet of the extension's folder, whose URL is that of the text "./FILE.css" and
 *   `import.meta.url`; resolves when it applies.
 *
 * It teaches `client/messages.js` its words with `learn`, and imports of the other modules what it needs. Its sections of the
 * administration page are `SECTIONS` of its `admin.js`, as those in `admin/sections.js`, and `ACTS` for rows of others; of its
 * `sign_in.js` see `account/sign_in.js`.
 */

import { addStyle, withParts } from "./elements/extension_parts.js";
import { LazyPart } from "./elements/lazy_part.js";

export class Extensions {
  /** `page` is the page, a `ChatPage` with `extended(this)`; `load(name)` imports a part. */
  constructor(page, load = (name) => import(`./extensions/${name}/main.js`)) {
    Object.assign(this, { page, load, on: [], added: new Map(), extending: new Map() });
  }

  /** The additions of one kind, of all extensions that are on. */
  all(kind) {
    return this.on.flatMap((name) => this.added.get(name)?.[kind] ?? []);
  }

  /**
   * Reads which extensions are on. Those that are new here add their parts; what others have added is hidden while they are off.
   * What the server or the network refuses is left for the next time.
   */
  async refresh() {
    const answer = await this.page.api.ask("GET", "/api/extensions").catch(() => null);
    if (answer === null) return;
    this.on = withParts(answer.extensions);
    const loaded = await Promise.all(this.on.map((name) => this.#extended(name)));
    if (loaded.every(Boolean)) this.page.extended(this);
  }

  /** Shows a dialog, also one whose extension is still to be loaded. */
  async show(id) {
    const known = () => this.all("dialogs").find((dialog) => dialog.id === id);
    if (!known()) await this.refresh();
    return known()?.act();
  }

  /** Resolves to whether the part of an extension is there; it is loaded once. */
  #extended(name) {
    if (!this.extending.has(name)) this.extending.set(name, this.#extend(name));
    return this.extending.get(name);
  }

  async #extend(name) {
    const part = await this.load(name).catch((fault) => {
      if (!(fault instanceof TypeError)) throw fault;
      return null; // no network
    });
    if (part === null) {
      this.extending.delete(name);
      return false;
    }
    const added = {};
    part.extend(this.#pageFor((kind, one) => (added[kind] ??= []).push(one)));
    this.added.set(name, added);
    return true;
  }

  #pageFor(add) {
    const { page } = this;
    const lazy = (load) => {
      const part = new LazyPart(load, (made) => made, (fault) => page.fault(fault));
      return (act) => part.use(act);
    };
    const entry = ({ id, picture, title, load }) => {
      const use = lazy(load);
      return { id, title, icon: picture, act: () => use((dialog) => dialog.show()) };
    };
    return {
      ask: (...asked) => page.api.ask(...asked), chat: page, lazy, add, addStyle, sections: () => this.all("sections"),
      addDialog: (dialog) => add("dialogs", entry(dialog)), addTopDialog: ({ fits, ...dialog }) => add("topDialogs", { ...entry(dialog), fits }),
    };
  }
}
