/** The dialog of a chat's tags: typed or chosen from the user's own, removed, and stored by the button Save. */

import { composing, el, freshId, setText } from "../elements/dom.js";
import { showUntilClosed } from "../elements/dialog.js";
import { icon } from "../elements/icons.js";
import { MAX_TAG, MOST_TAGS, suggested, tagOf } from "../client/tags.js";
import { t } from "../client/messages.js";

export class TagsDialog {
  /** `chosen` are the chat's tags, `known` the user's; `save(tags)` rejects with {message} if they cannot be kept. */
  constructor(chosen, known, save) {
    Object.assign(this, { chosen: [...chosen], known, save });
    const [id, ruleId, faultId] = [freshId("tags"), freshId("rule"), freshId("fault")];
    this.list = el("ul.tag-list", { "aria-label": t("tags.chosen") });
    this.offered = el("ul.tag-list", { "aria-label": t("tags.suggested") });
    this.input = el("input.dialog-input", {
      type: "text", dir: "auto", autocomplete: "off", spellcheck: false, maxLength: 40, "aria-label": t("tags.add"), placeholder: t("tags.add"),
      "aria-describedby": `${ruleId} ${faultId}`, oninput: () => this.#typed(), onkeydown: (event) => this.#key(event),
    });
    this.fault = el("p.field-error", { id: faultId, role: "alert" });
    this.submit = el("button.primary", { type: "submit" }, t("action.save"));
    this.element = el("dialog.dialog.tags", { "aria-labelledby": id },
      el("form", { noValidate: true, onsubmit: (event) => this.#submit(event) },
        el("h2", { id }, t("tags.title")), el("p", { id: ruleId }, t("tags.rule", { count: MOST_TAGS })),
        this.list, this.input, this.fault, this.offered,
        el("div.dialog-actions", {},
          el("button.secondary", { type: "button", onclick: () => this.element.close() }, t("action.cancel")), this.submit)));
  }

  open() {
    showUntilClosed(this.element);
    this.#draw();
    this.input.focus();
  }

  #draw() {
    this.list.replaceChildren(...this.chosen.map((tag) => el("li", {},
      el("button.tag", { type: "button", dir: "auto", "aria-label": t("action.of", { action: t("action.remove"), title: `#${tag}` }), onclick: () => this.#remove(tag) },
        `#${tag}`, icon("close")))));
    this.list.hidden = this.chosen.length === 0;
    this.#offer();
  }

  #offer() {
    const tags = this.chosen.length < MOST_TAGS ? suggested(this.known, this.chosen, this.input.value) : [];
    this.offered.replaceChildren(...tags.map((tag) => el("li", {}, el("button.tag", { type: "button", dir: "auto", onclick: () => this.#add(tag) }, `#${tag}`))));
    this.offered.hidden = tags.length === 0;
  }

  #typed() {
    this.#refuse("");
    const [first, ...more] = this.input.value.split(/[,،]/);
    if (more.length > 0 && this.#add(first)) this.input.value = more.join(",").trimStart();
    this.#offer();
  }

  /** Adds what was typed or chosen. Returns whether there is nothing to correct. */
  #add(typed) {
    const tag = tagOf(typed);
    if (tag === null) this.#refuse(t("tags.wrong", { count: MAX_TAG }));
    else if (!this.chosen.includes(tag) && this.chosen.length >= MOST_TAGS) this.#refuse(t("tags.most", { count: MOST_TAGS }));
    else {
      if (!this.chosen.includes(tag)) this.chosen.push(tag);
      this.input.value = "";
      this.#draw();
    }
    this.input.focus();
    return this.fault.textContent === "";
  }

  #remove(tag) {
    this.chosen = this.chosen.filter((each) => each !== tag);
    this.#refuse("");
    this.#draw();
    this.input.focus();
  }

  #key(event) {
    if (composing(event)) return;
    if (event.key === "Enter" && this.input.value.trim() !== "") this.#add(this.input.value);
    else if (event.key === "Backspace" && this.input.value === "" && this.chosen.length > 0) this.#remove(this.chosen.at(-1));
    else return;
    event.preventDefault();
  }

  async #submit(event) {
    event.preventDefault();
    if (this.submit.disabled || (this.input.value.trim() !== "" && !this.#add(this.input.value))) return;
    this.submit.disabled = true;
    try {
      await this.save(this.chosen);
      this.element.close();
    } catch (fault) {
      this.#refuse(fault.message);
    }
    this.submit.disabled = false;
  }

  #refuse(sentence) {
    setText(this.fault, sentence);
    if (sentence) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
  }
}
