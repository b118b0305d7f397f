/**
 * What extensions add to the chat page. Loaded when the page is up, this asks the server which extensions are on, and loads
 * `extensions/NAME/main.js` of those that have one. Its `extend(page)` is called once, with a `page` of
 *
 * - `ask(method, path, body)`: the JSON of an answer of the server; rejects with {code, message}.
 * - `agents`: the catalogue of agents. `open(threadId)` shows a chat. `on(event, work)` listens to the protocol client.
 * - `addDialog({id, picture, title, load})`: a button of the side bar, and a command of the palette. `load()` imports the
 *   dialog when it is first opened, and resolves to what has `show()`.
 * - `addSection({title, none, read})`: a section of the inbox, see `InboxView`.
 * - `addStyle(url)`: loads a style sheet of the extension's folder, whose URL is that of the text "./FILE.css" and
 *   `import.meta.url`; resolves when it applies.
 *
 * It teaches `client/messages.js` its words with `learn`, and imports of the other modules what it needs. Its sections of the
 * administration page are `SECTIONS` of `extensions/NAME/admin.js`, of the form of those in `admin/sections.js`.
 */

import { el } from "./views/dom.js";
import { sideButton } from "./views/dialogs.js";
import { withParts } from "./views/extension_parts.js";
import { LazyPart } from "./views/lazy_part.js";

export class Extensions {
  /** `page` is the page: {api, agents, client, sidebar, open(threadId), fault(error)}; `load(name)` imports a part. */
  constructor(page, load = (name) => import(`./extensions/${name}/main.js`)) {
    Object.assign(this, { page, load, on: [], added: new Map() });
  }

  /** The commands of the palette that extensions add which are on. */
  get commands() {
    return this.#all("commands");
  }

  /** The sections of the inbox that extensions add which are on. */
  get sections() {
    return this.#all("sections");
  }

  /**
   * Reads which extensions are on. Those that are new here add their parts; what others have added is hidden while they are off.
   * What the server or the network refuses is left for the next time.
   */
  async refresh() {
    const answer = await this.page.api.ask("GET", "/api/extensions").catch(() => null);
    if (answer === null) return;
    this.on = withParts(answer.extensions);
    for (const [name, { buttons }] of this.added) buttons.forEach((button) => { button.hidden = !this.on.includes(name); });
    await Promise.all(this.on.filter((name) => !this.added.has(name)).map((name) => this.#extend(name)));
  }

  #all(kind) {
    return this.on.flatMap((name) => this.added.get(name)?.[kind] ?? []);
  }

  async #extend(name) {
    const added = { buttons: [], commands: [], sections: [] };
    this.added.set(name, added); // at once: it may be asked for again while it is loaded
    const part = await this.load(name).catch((fault) => {
      if (!(fault instanceof TypeError)) throw fault;
      return null; // no network
    });
    if (part === null) this.added.delete(name);
    else part.extend(this.#pageFor(added));
  }

  #pageFor({ buttons, commands, sections }) {
    const { page } = this;
    return {
      ask: (...asked) => page.api.ask(...asked), agents: page.agents, open: (threadId) => page.open(threadId), on: (event, work) => page.client.on(event, work),
      addDialog: ({ id, picture, title, load }) => {
        const part = new LazyPart(load, (dialog) => dialog, (fault) => page.fault(fault));
        const act = () => part.use((dialog) => dialog.show());
        buttons.push(sideButton(picture, title, act));
        commands.push({ id, title, icon: picture, act });
        page.sidebar.add(buttons.at(-1));
      },
      addSection: (section) => sections.push(section),
      addStyle,
    };
  }
}

function addStyle(url) {
  return new Promise((resolve, reject) => {
    const link = el("link", {
      rel: "stylesheet", href: url.href, onload: resolve, onerror: () => {
        link.remove();
        reject(new TypeError(url.href)); // as an import does
      },
    });
    document.head.append(link);
  });
}
