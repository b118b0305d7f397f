/** The keys that work anywhere on the page, the palette that one of them opens, and the sheet that lists them. */

import { el, freshId } from "./dom.js";
import { icon } from "./icons.js";
import { Palette } from "./palette.js";
import { CHOICES, choose } from "./theme.js";
import { t } from "../client/messages.js";

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/** A key with the one that commands are given with, as this system writes it. */
const commandKey = (key, { shift = false } = {}) => (MAC ? `${shift ? "⇧" : ""}⌘${key}` : [t("key.control"), shift && t("key.shift"), key].filter(Boolean).join("+"));

export class Keys {
  /** `page` is the page: {api, client, sidebar, agents, composer, dialogs, account, create(), open(id), stop()}. */
  constructor(page) {
    this.page = page;
    this.palette = new Palette(() => [this.#actions(), this.#chats(), this.#agents(), this.#tags(), this.#chat(), this.#themes()], (query, limit) => this.#search(query, limit));
    page.sidebar.paletteKey.textContent = commandKey("K");
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    const { page } = this;
    const command = (event.ctrlKey || event.metaKey) && !event.altKey;
    const key = event.key.toLowerCase();
    const modal = document.querySelector("dialog[open]") !== null;
    if (command && !event.shiftKey && key === "k" && (!modal || this.palette.open)) this.palette.toggle();
    else if (command && event.key === "/" && !modal) this.sheet();
    else if (command && event.shiftKey && key === "o" && !modal) page.create();
    else if (event.key === "?" && !command && !modal && !writes(event.target)) this.sheet();
    else if (event.key === "Escape" && !modal) {
      if (document.body.classList.contains("drawer-open")) page.sidebar.toggle(false);
      else page.stop();
      return;
    } else return;
    event.preventDefault();
  }

  /** Lists the keys. */
  sheet() {
    const id = freshId("keys");
    const rows = [
      [commandKey("K"), "keys.palette"], [commandKey("O", { shift: true }), "keys.create"], [`?  ${commandKey("/")}`, "keys.sheet"],
      [t("key.enter"), "keys.send"], [`${t("key.shift")}+${t("key.enter")}`, "keys.line"], ["↑", "keys.edit"], [t("key.escape"), "keys.stop"],
    ];
    const dialog = el("dialog.dialog.keys", { "aria-labelledby": id, onclose: () => dialog.remove() },
      el("h2", { id }, t("keys.title")),
      el("dl.keys-list", {}, rows.map(([key, what]) => el("div", {}, el("dt", {}, t(what)), el("dd", {}, key.split("  ").map((one) => el("kbd", {}, one)))))),
      el("div.dialog-actions", {}, el("button.secondary", { type: "button", autofocus: true, onclick: () => dialog.close() }, t("action.close"))));
    document.body.append(dialog);
    dialog.showModal();
  }

  #actions() {
    const { page } = this;
    return [
      { id: "create", title: t("chat.new"), icon: "plus", keys: commandKey("O", { shift: true }), act: () => page.create() },
      { id: "search", title: t("sidebar.search"), icon: "search", act: () => page.sidebar.focusSearch() },
      ...(page.firstVisit.has ? [{ id: "sample", title: t("first.sales"), icon: "table", act: () => page.firstVisit.try("sales") }] : []),
      { id: "schedules", title: t("schedules.title"), icon: "clock", act: () => page.dialogs.openSchedules() },
      { id: "memory", title: t("memory.button"), icon: "thought", act: () => page.dialogs.openMemory() },
      { id: "settings", title: t("settings.title"), icon: "gear", act: () => page.dialogs.openSettings() },
      { id: "keys", title: t("keys.title"), icon: "keyboard", keys: "?", act: () => this.sheet() },
      { id: "account", title: t("account.sign_out"), icon: "leave", act: () => page.account.leave() },
    ];
  }

  #chats() {
    return this.page.sidebar.all.map((thread) => this.#entry(thread));
  }

  #entry(thread) {
    const words = (thread.tags ?? []).map((tag) => `#${tag}`).join(" ");
    return { id: `#${thread.id}`, title: thread.title || t("chat.new"), words, icon: "chat", act: () => this.page.open(thread.id) };
  }

  #agents() {
    const { agents, composer } = this.page;
    return agents.list.map((agent) => ({
      id: `@${agent.name}`, title: agent.title || agent.name, words: agent.description ?? "", icon: "person", detail: t("palette.agent"),
      act: () => composer.choose(agent),
    }));
  }

  #tags() {
    const { sidebar } = this.page;
    return sidebar.filter.tags.map((tag) => ({ id: `#${tag}#`, title: `#${tag}`, icon: "tag", detail: t("tags.filter"), act: () => sidebar.showTag(tag) }));
  }

  /** What the menu of the open chat has. */
  #chat() {
    const { sidebar } = this.page;
    const actions = sidebar.rows.get(sidebar.current)?.actions() ?? [];
    return actions.map(({ label, icon: picture, act }) => ({ id: `.${label}`, title: label, icon: picture, detail: t("palette.chat"), act }));
  }

  #themes() {
    const [group, { storage }] = [t("appearance.theme"), this.page.client];
    return CHOICES.theme.map((value) => ({
      id: `theme.${value}`, title: t(`appearance.theme_${value}`), words: group, icon: "gear", detail: group, act: () => choose(storage, "theme", value),
    }));
  }

  async #search(query, limit) {
    const { threads } = await this.page.api.threads({ query, limit });
    return threads.map((thread) => this.#entry(thread));
  }
}

/** Whether what is typed on an element is text of its own. */
function writes(element) {
  return element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
}
