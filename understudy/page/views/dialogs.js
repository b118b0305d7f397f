/** The dialogs that buttons of the page open, and these buttons. Their code is loaded with the first one that is opened. */

import { t } from "../client/messages.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { LazyPart } from "./lazy_part.js";

export class Dialogs {
  /** `page` is the page: {api, inbox, client, current, open(threadId), signInAt(name), redraw(), fault(error)}. */
  constructor(page, storage) {
    const { api } = page;
    const lazy = (load, make) => new LazyPart(load, make, (fault) => page.fault(fault));
    this.memory = lazy(() => import("./memory.js"), ({ MemoryDialog }) => new MemoryDialog(api));
    this.servers = lazy(() => import("./servers.js"), ({ ServersDialog }) => new ServersDialog(api, () => page.current, (name) => page.signInAt(name)));
    this.signIn = lazy(() => import("./sign_in.js"), (part) => part);
    this.client = page.client;
    this.settings = lazy(() => import("./page_settings.js"), ({ pageSettings }) => pageSettings(page, storage));
    this.memoryButton = sideButton("thought", t("memory.button"), () => this.openMemory());
    this.serversButton = iconButton("tool", t("servers.of_chat"), () => this.servers.use((dialog) => dialog.open()));
    this.serversButton.hidden = true;
    this.settingsButton = iconButton("gear", t("settings.title"), () => this.openSettings());
  }

  /** Shows `what` of sign_in.js. */
  askToSignIn(what = "askToSignIn") {
    return this.signIn.use((part) => part[what](this.client));
  }

  openMemory() {
    return this.memory.use((dialog) => dialog.open());
  }

  /** `options` are those of `Settings.open`. */
  openSettings(options = {}) {
    return this.settings.use((dialog) => dialog.open(options));
  }

  /** Shows the button of the servers if one of these agents has one. */
  offerServers(list) {
    this.serversButton.hidden = !list.some((agent) => agent.servers?.length > 0);
  }
}

/** A button of the side bar that opens a dialog. */
export function sideButton(picture, words, onclick) {
  return el("button.quiet.side-button", { type: "button", "aria-haspopup": "dialog", onclick }, icon(picture), words);
}

function iconButton(picture, words, onclick) {
  return el("button.quiet.icon-button", { type: "button", "aria-haspopup": "dialog", "aria-label": words, title: words, onclick }, icon(picture));
}
