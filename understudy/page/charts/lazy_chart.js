/** A chart whose code is loaded with the first chart that is shown: most chats have none. */

import { el } from "../elements/dom.js";
import { t } from "../client/messages.js";

export class LazyChart {
  /** `given` is what ChartView takes. */
  constructor(...given) {
    this.element = el("div.chart-place");
    this.view = null;
    this.ended = false;
    this.#load(given);
  }

  async #load(given) {
    try {
      const { ChartView } = await import("./chart.js");
      if (this.ended) return;
      this.view = new ChartView(...given);
      this.element.append(this.view.element);
    } catch { // no network, and not kept
      this.element.append(el("p.hint", {}, t("chart.not_drawn")));
    }
  }

  destroy() {
    this.ended = true;
    this.view?.destroy();
    this.element.remove();
  }
}
