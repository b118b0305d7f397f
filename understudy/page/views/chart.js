/** A chart: the server's SVG as a picture, with its data, its spec and a download beside it. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { asTable, csv, showJson, showTable } from "./value.js";
import { count } from "../client/format.js";

export class ChartView {
  /** `visualization` is {svg, title, spec}. */
  constructor({ svg = "", title = "", spec = null }) {
    this.address = svg ? URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" })) : null;
    // A spec with a title draws it into the picture: it need not be said twice.
    const table = asTable(dataOf(spec));
    const name = title || titleOf(spec) || "Chart";
    const picture = this.address
      ? el("img.chart-picture", { src: this.address, alt: describe(name, table), decoding: "async" })
      : el("p.hint", {}, "This chart has no picture; its data is below.");
    this.element = el("figure.chart", {},
      el("figcaption.chart-head", {}, el("span.chart-title", {}, titleOf(spec) ? "Chart" : name), el("span.chart-actions", {},
        this.address && saveLink(this.address, `${fileName(name)}.svg`, "Download picture"),
        table && saveLink(dataAddress(csv(table)), `${fileName(name)}.csv`, "Download data", "CSV"))),
      picture,
      el("div.chart-more", {},
        table && unfold(`Show data (${count(table.rows.length, "row")})`, () => showTable(table)),
        spec && unfold("Show spec", () => showJson(spec))));
  }

  destroy() {
    if (this.address) URL.revokeObjectURL(this.address);
    this.element.remove();
  }
}

function saveLink(address, name, label, word = "") {
  return el("a.quiet", { href: address, download: name, title: label, "aria-label": label }, icon("download"), word && el("span", {}, word));
}

function dataAddress(text) {
  return `data:text/csv;charset=utf-8,${encodeURIComponent(text)}`;
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
  return table ? `Chart: ${name}. ${count(table.rows.length, "row")} of ${table.columns.join(", ")}.` : `Chart: ${name}.`;
}

function fileName(name) {
  return name.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, "-").replaceAll(/^-|-$/g, "").slice(0, 60) || "chart";
}
