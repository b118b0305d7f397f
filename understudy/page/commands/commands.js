/** The commands of the page by name: the entries of the palette, and the sheet that lists the keys. */

import { dialogHead, showUntilClosed } from "../elements/dialog.js";
import { el, freshId } from "../elements/dom.js";
import { commandKey } from "./keys.js";
import { Palette } from "./palette.js";
import { openAt } from "../thread/reveal.js";
import { CHOICES, choose } from "../settings/theme.js";
import { t } from "../client/messages.js";

export class Commands {
  /** `page` is the page: {api, client, sidebar, agents, composer, dialogs, extensions, account, firstVisit, create(), open(id)}. */
  constructor(page) {
    this.page = page;
    this.palette = new Palette(() => [this.#actions(), this.#chats(), this.#agents(), this.#tags(), this.#chat(), this.#themes()], (query, limit) => this.#search(query, limit));
  }

  /** Lists the keys. */
  sheet() {
    const id = freshId("keys");
    const rows = [
      [commandKey("K"), "keys.palette"], [commandKey("O", { shift: true }), "keys.create"], [`?  ${commandKey("/")}`, "keys.sheet"],
      [t("key.enter"), "keys.send"], [`${t("key.shift")}+${t("key.enter")}`, "keys.line"], ["↑", "keys.edit"], [t("key.escape"), "keys.stop"],
    ];
    showUntilClosed(el("dialog.dialog.keys", { "aria-labelledby": id },
      dialogHead(id, t("keys.title")),
      el("dl.keys-list", {}, rows.map(([key, what]) => el("div", {}, el("dt", {}, t(what)), el("dd", {}, key.split("  ").map((one) => el("kbd", {}, one))))))));
  }

  #actions() {
    const { page } = this;
    return [
      { id: "create", title: t("chat.new"), icon: "plus", keys: commandKey("O", { shift: true }), act: () => page.create() },
      { id: "search", title: t("sidebar.search"), icon: "search", act: () => page.sidebar.focusSearch() },
      ...(page.firstVisit.analyst ? [{ id: "sample", title: t("first.sales"), icon: "table", act: () => page.firstVisit.profile() }] : []),
      ...(page.extensions.made?.all("dialogs") ?? []),
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
    const title = thread.title || t("chat.new");
    const said = thread.match?.snippet.map(({ text }) => text).join("") ?? "";
    return { id: `#${thread.id}`, title, words, icon: "chat", detail: said !== title && said, act: () => openAt(this.page, thread.id, thread.match?.message_id ?? null) };
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

  /** The entries of the menu of the open chat. */
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
