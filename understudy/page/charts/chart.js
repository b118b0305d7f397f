/**
 * A chart: its picture with its data as a table, and downloads.
 *
 * Whoever drew the picture, the page or, in an old chat, the server, it is only ever an image, in which no script runs.
 */

import { ChartPicture } from "./chart_picture.js";
import { el, saveAs } from "../elements/dom.js";
import { enumerated, t } from "../client/messages.js";
import { icon } from "../elements/icons.js";
import { fileName, showTable, showJson } from "../tables/tables.js";
import { chartTable } from "./chart_data.js";
import { csv } from "../tables/csv.js";

const PIXELS = 2; // of a PNG for each of its picture's

export class ChartView {
  /** `visualization` is {title, spec}, in an old chat with an `svg`; `panel` shows it large, null where it is large already. */
  constructor(visualization, panel = null) {
    const { svg = "", title = "", spec = null } = visualization;
    const within = titleOf(spec);
    const name = title || within || t("chart.name");
    const table = chartTable(spec);
    const large = panel && el("button.quiet.icon-button", { type: "button", title: t("chart.enlarge"), "aria-label": t("chart.enlarge"), onclick: () => enlarge(visualization, name, panel, large) }, icon("expand"));
    this.picture = svg ? new StoredPicture(svg, name, t("chart.described", { name })) : new ChartPicture(within === name ? { ...spec, title: undefined } : spec, describe(name, table), (drawn) => this.#drawn(drawn));
    this.fault = el("p.hint", { hidden: true, role: "status" });
    this.data = table && unfold(t("chart.show_data", { count: table.rows.length }), () => showTable(table, { name, saves: false }));
    this.saves = this.#pictureSaves(name);
    this.element = el("figure.chart", {},
      el("figcaption.chart-head", {}, el("span.chart-title", {}, name), large),
      this.picture.element, this.fault,
      el("div.chart-more", {},
        this.data,
        spec && !panel && unfold(t("chart.show_spec"), () => showJson(spec)),
        el("span.chart-saves", {}, icon("download"), this.saves,
          table && save("CSV", name, () => new Blob([csv(table)], { type: "text/csv;charset=utf-8" })))));
  }

  destroy() {
    this.picture.destroy();
    this.element.remove();
  }

  /** A chart that cannot be drawn is told by its data. */
  #drawn(drawn) {
    this.picture.element.hidden = !drawn;
    this.fault.hidden = drawn;
    this.fault.textContent = drawn ? "" : t(this.data ? "chart.not_drawn_data" : "chart.not_drawn");
    for (const button of this.saves) button.hidden = !drawn;
    if (!drawn && this.data) this.data.open = true;
  }

  #pictureSaves(name) {
    const picture = () => this.picture.saved();
    return [save("PNG", name, async () => paint(await picture())), save("SVG", name, picture)];
  }
}

/** A picture keeps the size of its texts: where it is wider than the page, it scrolls in itself. */
class StoredPicture {
  constructor(svg, name, label) {
    this.blob = new Blob([svg], { type: "image/svg+xml" });
    this.address = URL.createObjectURL(this.blob);
    const image = el("img.chart-picture", { src: this.address, alt: label, decoding: "async" });
    image.addEventListener("load", () => { image.style.minWidth = `${Math.min(image.naturalWidth, 900)}px`; });
    this.element = el("div.chart-scroll", { tabIndex: 0, role: "group", "aria-label": name }, image);
  }

  saved() {
    return this.blob;
  }

  destroy() {
    URL.revokeObjectURL(this.address);
  }
}

function save(format, name, find) {
  const label = t("chart.download", { format });
  return el("button.quiet.chart-save", { type: "button", title: label, "aria-label": label, onclick: async () => saveAs(await find(), `${fileName(name)}.${format.toLowerCase()}`) }, format);
}

function enlarge(visualization, name, panel, opener) {
  const view = new ChartView(visualization);
  panel.show({ title: name, content: view.element, opener, onClose: () => view.destroy() });
}

/** A picture as a PNG on white. */
async function paint(picture) {
  const address = URL.createObjectURL(picture);
  const image = el("img", { src: address });
  await image.decode().finally(() => URL.revokeObjectURL(address));
  const canvas = el("canvas", { width: image.naturalWidth * PIXELS, height: image.naturalHeight * PIXELS });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}

/** A <details> whose content is made when it is first opened. */
export function unfold(label, make) {
  const details = el("details.unfold", {}, el("summary", {}, icon("chevron"), label));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(make());
  });
  return details;
}

function titleOf(spec) {
  return typeof spec?.title === "string" ? spec.title : spec?.title?.text ?? "";
}

function describe(name, table) {
  return table ? t("chart.described_rows", { name, count: table.rows.length, columns: enumerated(table.columns.filter(Boolean)) }) : t("chart.described", { name });
}
