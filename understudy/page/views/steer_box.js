/** The box at a run at work: what is written there is read by its agent, at its next step or at once. */

import { el, freshId } from "./dom.js";
import { t } from "../client/messages.js";

export class SteerBox {
  /** `onSteer(text, mode)` is true when it was sent. */
  constructor(onSteer) {
    const id = freshId("steer");
    this.text = el("input.steer-text", { id, type: "text", autocomplete: "off", enterKeyHint: "send", dir: "auto", placeholder: t("steer.placeholder") });
    this.mode = el("select.steer-mode", { "aria-label": t("steer.when") },
      el("option", { value: "next" }, t("composer.mode_next")), el("option", { value: "now" }, t("composer.mode_now")));
    this.element = el("form.steer-box", {
      hidden: true,
      onsubmit: (event) => {
        event.preventDefault();
        const text = this.text.value.trim();
        if (text !== "" && onSteer(text, this.mode.value)) this.text.value = "";
      },
    }, el("label", { htmlFor: id }, t("steer.label")), this.text, this.mode, el("button.secondary", { type: "submit" }, t("action.send")));
  }

  /** What is being written stays while the box is away. */
  show(shown) {
    this.element.hidden = !shown;
  }
}
