/**
 * A chart: drawn by the page where it knows how, else the server's picture; with its data as a table, and downloads.
 *
 * The server's SVG is only ever an image, in which no script runs.
 */

import { ChartPlot } from "./chart_plot.js";
import { el } from "./dom.js";
import { enumerated, t } from "../client/messages.js";
import { icon } from "./icons.js";
import { saveAs } from "./save_as.js";
import { fileName, showTable } from "./tables.js";
import { showJson } from "./value.js";
import { chartTable, readChart } from "../client/chart_model.js";
import { csv } from "../client/csv.js";
import { asTable } from "../client/tables.js";

const PIXELS = 2; // of a PNG for each of its picture's

export class ChartView {
  /** `visualization` is {svg, title, spec}; `panel` shows it large, null where it is large already. */
  constructor(visualization, panel = null) {
    const { svg = "", title = "", spec = null } = visualization;
    this.address = svg ? URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" })) : null;
    const name = title || titleOf(spec) || t("chart.name");
    const chart = readChart(spec);
    const table = chart ? chartTable(chart) : asTable(dataOf(spec));
    this.plot = chart && new ChartPlot(chart, describe(name, table));
    // A picture whose specification has a title has that title in it: it need not be said twice.
    const heading = !chart && titleOf(spec) ? t("chart.name") : name;
    const large = panel && el("button.quiet.icon-button", { type: "button", title: t("chart.enlarge"), "aria-label": t("chart.enlarge"), onclick: () => enlarge(visualization, name, panel, large) }, icon("expand"));
    this.element = el("figure.chart", {},
      el("figcaption.chart-head", {}, el("span.chart-title", {}, heading), large),
      this.plot?.element ?? this.#picture(name, table),
      el("div.chart-more", {},
        table && unfold(t("chart.show_data", { count: table.rows.length }), () => showTable(table, { name, saves: false })),
        spec && !panel && unfold(t("chart.show_spec"), () => showJson(spec)),
        this.#downloads(name, table)));
  }

  destroy() {
    this.plot?.destroy();
    if (this.address) URL.revokeObjectURL(this.address);
    this.element.remove();
  }

  /** A picture keeps the size of its texts: where it is wider than the page, it scrolls in itself. */
  #picture(name, table) {
    if (!this.address) return el("p.hint", {}, t("chart.no_picture"));
    const image = el("img.chart-picture", { src: this.address, alt: describe(name, table), decoding: "async" });
    image.addEventListener("load", () => { image.style.minWidth = `${Math.min(image.naturalWidth, 900)}px`; });
    return el("div.chart-scroll", { tabIndex: 0, role: "group", "aria-label": name }, image);
  }

  #downloads(name, table) {
    const file = fileName(name);
    const save = (format, find) => {
      const label = t("chart.download", { format });
      return el("button.quiet.chart-save", { type: "button", title: label, "aria-label": label, onclick: async () => saveAs(await find(), `${file}.${format.toLowerCase()}`) }, format);
    };
    return el("span.chart-saves", {}, icon("download"),
      this.address && save("PNG", () => paint(this.address)),
      this.address && save("SVG", () => this.address),
      table && save("CSV", () => new Blob([csv(table)], { type: "text/csv;charset=utf-8" })));
  }
}

function enlarge(visualization, name, panel, opener) {
  const view = new ChartView(visualization);
  panel.show({ title: name, content: view.element, opener, onClose: () => view.destroy() });
}

/** The picture at `address` as a PNG on the page's own ground. */
async function paint(address) {
  const image = el("img", { src: address });
  await image.decode();
  const canvas = el("canvas", { width: image.naturalWidth * PIXELS, height: image.naturalHeight * PIXELS });
  const pen = canvas.getContext("2d");
  pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--surface");
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

function dataOf(spec) {
  return spec?.data?.values ?? Object.values(spec?.datasets ?? {})[0] ?? null;
}

function titleOf(spec) {
  return typeof spec?.title === "string" ? spec.title : spec?.title?.text ?? "";
}

function describe(name, table) {
  return table ? t("chart.described_rows", { name, count: table.rows.length, columns: enumerated(table.columns.filter(Boolean)) }) : t("chart.described", { name });
}
