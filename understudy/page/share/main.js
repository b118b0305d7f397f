/** The page on which anybody with its link reads a shared conversation. It has no user, and stores nothing. */

import { ROOT } from "../client/address.js";
import { humanised, moment } from "../client/format.js";
import { dateTime, learn, t } from "../client/messages.js";
import { browserStorage, safeStorage } from "../client/safe_storage.js";
import { monogram } from "../composer/agents.js";
import { el, setText } from "../elements/dom.js";
import { startLanguage } from "../settings/language.js";
import { MESSAGES } from "../extensions/shares/messages/reader.js";
import { Files } from "../files/files.js";
import { LazyChart } from "../charts/lazy_chart.js";
import { MadeFilesView } from "../files/made_files.js";
import { MomentView } from "../answer/answer_actions.js";
import { Panel } from "../files/panel.js";
import { Previews } from "../files/previews.js";
import { followNote, showWhole } from "../answer/prose.js";
import { SharedReader, tokenIn } from "./reader.js";

const NOTHING_KEPT = Object.freeze({ getItem: () => null, setItem() {} });
const DAY = Object.freeze({ dateStyle: "long" });

class SharedPage {
  constructor(reader) {
    this.reader = reader;
    this.title = el("h1", { dir: "auto" });
    this.about = el("p.hint", { role: "status" }, t("shared.reading"));
    this.button = el("button.secondary", { type: "button", hidden: true, onclick: () => this.read() });
    this.messages = el("div");
    this.panel = new Panel();
    this.files = new Files(reader, NOTHING_KEPT, new Previews(reader), this.panel);
    this.element = el("main.shared", { tabIndex: -1 }, el("div.shared-column", {},
      el("header.shared-head", {}, this.title, this.about), el("div.shared-older", {}, this.button), this.messages));
  }

  /** Reads the next page, which stands above what is there. */
  async read() {
    this.button.disabled = true;
    try {
      const page = await this.reader.next();
      if (page === null) this.#gone();
      else this.#show(page);
    } catch {
      setText(this.about, t("shared.away"));
      this.#offer(t("action.try_again"));
    }
    this.button.disabled = false;
  }

  #show({ title, created_at: made, expires_at: ends, messages }) {
    setText(this.title, title);
    document.title = t("chat.window_title", { title });
    setText(this.about, t("shared.about", { made: dateTime(moment(made), DAY), ends: dateTime(moment(ends), DAY) }));
    const height = this.element.scrollHeight;
    const first = this.messages.childElementCount === 0;
    this.messages.prepend(...messages.map((message) => this.#message(message)));
    if (!first) this.element.scrollTop += this.element.scrollHeight - height;
    if (this.reader.more) this.#offer(t("shared.older"));
    else this.button.hidden = true;
  }

  #message(message) {
    const time = new MomentView();
    time.show(moment(message.created_at));
    if (message.role === "user") {
      return el("article.shared-message.said", { "aria-label": t("shared.question") },
        el("div.bubble", { dir: "auto" }, message.content), time.element);
    }
    const name = message.agent === "guide" ? t("agents.guide") : humanised(message.agent);
    const block = el("div.block", { dir: "auto", onclick: (event) => followNote(block, event) });
    showWhole(block, message.content, () => {
      // Its files are its owner's: a reader could not open them.
      for (const link of block.querySelectorAll('a[href^="/"]')) link.replaceWith(...link.childNodes);
    });
    const made = new MadeFilesView({ files: this.files, previews: this.files.previews, panel: this.panel });
    made.update({ steps: [], final: { data: { files: message.files } } });
    return el("article.shared-message", {},
      el("h2.who", {}, monogram(name, message.agent, null), el("span.who-name", {}, name), time.element), el("div.prose", {}, block),
      message.visualization && new LazyChart(message.visualization, this.panel).element, made.element, message.status !== "success" && el("p.hint", {}, t("shared.cut")));
  }

  #gone() {
    setText(this.title, t("shared.gone"));
    document.title = t("chat.window_title", { title: t("shared.gone") });
    setText(this.about, t("shared.gone_hint"));
    this.button.hidden = true;
    this.messages.replaceChildren();
  }

  #offer(label) {
    setText(this.button, label);
    this.button.hidden = false;
  }
}

await startLanguage(safeStorage(browserStorage()));
learn(MESSAGES);
const page = new SharedPage(new SharedReader(tokenIn(location.pathname.slice(ROOT.length)), (...asked) => fetch(...asked)));
document.body.replaceChildren(page.element, page.panel.element);
await page.read();
