/** The buttons of the page that open dialogs. A dialog's code is loaded when it is first opened. */

import { fromJson } from "../client/ids.js";
import { t } from "../client/messages.js";
import { arrange, el } from "../elements/dom.js";
import { icon } from "../elements/icons.js";
import { LazyPart } from "../elements/lazy_part.js";

const BUTTONS = "understudy.buttons"; // {id, title, icon} of each, as they were last time

export class Dialogs {
  /** `page` is the page: {extensions, client, redraw(), fault(error)}. */
  constructor(page, storage) {
    const lazy = (load, make) => new LazyPart(load, make, (fault) => page.fault(fault));
    this.signIn = lazy(() => import("../account/sign_in.js"), (part) => part);
    this.client = page.client;
    this.settings = lazy(() => import("../settings/settings.js"), ({ pageSettings }) => pageSettings(page, storage));
    this.settingsButton = iconButton("gear", t("settings.title"), () => this.openSettings());
  }

  askToSignIn() {
    return this.signIn.use(({ askToSignIn }) => askToSignIn(this.client));
  }

  /** `options` are those of `Settings.open`. */
  openSettings(options = {}) {
    return this.settings.use((dialog) => dialog.open(options));
  }
}

/**
 * The buttons of the dialogs that extensions add. At first they are those of last time, so that what is below them does not
 * move when the extensions are known.
 */
export class ExtensionButtons {
  /** `show(id)` shows a dialog. */
  constructor(storage, show) {
    Object.assign(this, { storage, made: new Map(), open: show });
    this.element = el("div.side-buttons");
    this.top = el("div.side-buttons");
    this.#arrange(fromJson(storage.getItem(BUTTONS)) ?? []);
  }

  /** Shows the buttons of these dialogs, {id, title, icon}, now and at the next visit. */
  show(dialogs) {
    this.storage.setItem(BUTTONS, JSON.stringify(dialogs));
    this.#arrange(dialogs);
  }

  /** Shows the buttons of those dialogs, {id, title, icon, act, fits}, above the chat that fit these agents. */
  showAbove(dialogs, agents) {
    arrange(this.top, dialogs.filter(({ fits }) => fits(agents)).map(({ id, title, icon: picture, act }) => this.#kept(id, () => iconButton(picture, title, act))));
  }

  #kept(key, make) {
    if (!this.made.has(key)) this.made.set(key, make());
    return this.made.get(key);
  }

  #arrange(dialogs) {
    arrange(this.element, dialogs.map(({ id, title, icon: picture }) => this.#kept(`${id} ${title}`, () => sideButton(picture, title, () => this.open(id)))));
  }
}

/**
 * Where extensions put elements: at the foot of the "side" bar, in the "top" bar above the chat, on the button of the "drawer".
 * Where most have a button, its room is kept until the extensions are known, so that nothing moves then.
 */
export class Places {
  constructor() {
    Object.assign(this, { side: el("span.place"), top: el("span.icon-button"), drawer: el("span.place") });
  }

  /** Shows these elements, {place, element}, and nothing else. */
  show(elements) {
    for (const [name, box] of Object.entries(this)) {
      box.className = "place";
      arrange(box, elements.filter(({ place }) => place === name).map(({ element }) => element));
    }
  }
}

/** A button of the side bar that opens a dialog. */
function sideButton(picture, words, onclick) {
  return el("button.quiet.side-button", { type: "button", "aria-haspopup": "dialog", onclick }, icon(picture), words);
}

function iconButton(picture, words, onclick) {
  return el("button.quiet.icon-button", { type: "button", "aria-haspopup": "dialog", "aria-label": words, title: words, onclick }, icon(picture));
}
