/**
 * A chart drawn by the page: it follows the theme and the width, and tells the value of each point under the pointer or
 * the arrow keys.
 */

import { el, setText } from "./dom.js";
import { layOut } from "../client/chart_layout.js";
import { number, t } from "../client/messages.js";

const SPACE = "http://www.w3.org/2000/svg";
const STEPS = Object.freeze({ ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 });

export class ChartPlot {
  /** `chart` is as `readChart` gives it; `name` says what it shows. */
  constructor(chart, name) {
    Object.assign(this, { chart, width: 0, layout: null, current: -1 });
    this.frame = svg("svg", { class: "plot-frame", "aria-hidden": "true" });
    this.tip = el("div.plot-tip", { hidden: true, "aria-hidden": "true" });
    this.said = el("p.offscreen", { role: "status", "aria-live": "polite" });
    this.canvas = el("div.plot-canvas", { role: "application", tabIndex: 0, "aria-label": name, "aria-roledescription": t("chart.name"), title: "" }, this.frame, this.tip);
    this.element = el("div.plot", { "data-mark": chart.mark, dir: "ltr" }, this.canvas, this.#legend(), this.said);
    this.watch = new ResizeObserver(([{ contentRect }]) => this.#resize(Math.floor(contentRect.width)));
    this.watch.observe(this.canvas);
    this.#listen();
  }

  destroy() {
    this.watch.disconnect();
  }

  #resize(width) {
    if (width < 40 || width === this.width) return;
    this.width = width;
    this.layout = layOut(this.chart, width);
    this.#draw();
    this.#point(this.current, false);
  }

  #draw() {
    const { width, height, area, ticks, lying, shapes } = this.layout;
    const { xTitle, yTitle, mark } = this.chart;
    this.frame.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.frame.setAttribute("width", width);
    this.frame.setAttribute("height", height);
    const [bottom, right] = [area.y + area.height, area.x + area.width];
    const parts = [];
    if (mark !== "pie") {
      for (const { at } of lying ? ticks.x : ticks.y) parts.push(svg("path", { class: "plot-grid", d: lying ? `M${at} ${area.y}V${bottom}` : `M${area.x} ${at}H${right}` }));
      for (const { at, text } of ticks.y) parts.push(label(text, area.x - 8, at + 4, "end"));
      for (const { at, text, anchor = "middle" } of ticks.x) parts.push(label(text, anchor === "middle" ? at : anchor === "end" ? width : 0, bottom + 18, anchor));
      parts.push(lying ? null : label(yTitle, 0, 14, "start", "plot-title"));
      parts.push(label(lying ? yTitle : xTitle, area.x + area.width / 2, height - 6, "middle", "plot-title"));
    }
    this.shapes = shapes.map(shapeOf);
    this.rule = svg("path", { class: "plot-rule" });
    this.mark = svg("circle", { class: "plot-mark", r: 5 });
    this.frame.replaceChildren(...parts.filter(Boolean), this.rule, ...this.shapes, this.mark);
  }

  /** Names of several lines, or of the slices with what each has. */
  #legend() {
    const { mark, series } = this.chart;
    const total = series[0].points.reduce((sum, { y }) => sum + y, 0) || 1;
    const rows = mark === "pie"
      ? series[0].points.map(({ label: name, y }, index) => [name, index, `${number(y)} · ${number(y / total, { style: "percent", maximumFractionDigits: 1 })}`])
      : series.length > 1 ? series.map(({ name }, index) => [name, index, ""]) : [];
    if (rows.length === 0) return "";
    return el("ul.plot-legend", {}, rows.map(([name, index, note]) => el("li", {}, el(`span.plot-key.hue-${index % 12}`), el("span.plot-key-name", {}, name), note && el("span.plot-key-note", {}, note))));
  }

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("pointermove", (event) => this.#point(this.#nearest(event), false));
    canvas.addEventListener("pointerdown", (event) => this.#point(this.#nearest(event), false));
    canvas.addEventListener("pointerleave", () => this.#point(-1, false));
    canvas.addEventListener("blur", () => this.#point(-1, false));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (!this.layout || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.layout.targets.length - 1;
    const by = STEPS[event.key];
    let wanted = null;
    if (by !== undefined) wanted = this.current < 0 ? (by > 0 ? 0 : last) : Math.min(Math.max(this.current + by, 0), last);
    else if (event.key === "Home") wanted = 0;
    else if (event.key === "End") wanted = last;
    else if (event.key === "Escape" && this.current >= 0) wanted = -1;
    if (wanted === null) return;
    event.preventDefault();
    event.stopPropagation();
    this.#point(wanted, true);
  }

  /** The place among the targets of the point that is meant by a pointer. */
  #nearest({ clientX, clientY }) {
    if (!this.layout) return -1;
    const box = this.frame.getBoundingClientRect();
    const [x, y] = [clientX - box.left, clientY - box.top];
    const { targets, lying } = this.layout;
    const { mark } = this.chart;
    const flat = mark === "point" || mark === "pie";
    const far = (target) => (flat ? Math.hypot(target.x - x, target.y - y) : lying ? Math.abs(target.y - y) : Math.abs(target.x - x) + Math.abs(target.y - y) / 1000);
    return targets.reduce((best, target, index) => (best < 0 || far(target) < far(targets[best]) ? index : best), -1);
  }

  /** Shows the value of a point, none if -1; `speak`: as a screen reader is to hear it. */
  #point(which, speak) {
    this.current = which;
    const target = this.layout?.targets[which];
    this.tip.hidden = !target;
    this.element.classList.toggle("has-point", Boolean(target));
    for (const [index, { series, index: own }] of (this.layout?.shapes ?? []).entries()) {
      this.shapes[index].classList.toggle("is-current", Boolean(target) && own === target.index && series === target.series);
    }
    if (!target) return;
    const { name, points } = this.chart.series[target.series];
    const { label: place, y } = points[target.index];
    this.tip.replaceChildren(el("strong", {}, number(y)), el("span", {}, name ? `${name} · ${place}` : place));
    if (speak) setText(this.said, t(name ? "chart.point_of" : "chart.point", { name, place, value: y, which: which + 1, count: this.layout.targets.length }));
    const { area, lying } = this.layout;
    const flat = this.chart.mark === "pie" || lying;
    this.rule.setAttribute("d", flat ? "" : `M${target.x} ${area.y}V${area.y + area.height}`);
    this.mark.setAttribute("cx", target.x);
    this.mark.setAttribute("cy", target.y);
    this.mark.setAttribute("class", classes("mark", target.series));
    const half = this.tip.offsetWidth / 2;
    this.tip.style.left = `${Math.min(Math.max(target.x, half), this.width - half)}px`;
    this.tip.style.top = `${Math.max(target.y - 12, this.tip.offsetHeight)}px`;
  }
}

/** The kind of a shape, and its colour among the twelve. */
function classes(kind, which) {
  return [`plot-${kind}`, `hue-${which % 12}`].join(" ");
}

function shapeOf({ kind, series, index, ...at }) {
  const hue = classes(kind, kind === "slice" ? index : series);
  if (kind === "dot") return svg("circle", { class: hue, cx: at.x, cy: at.y, r: at.small ? 3 : 4 });
  if (kind === "bar") return svg("rect", { class: hue, x: at.x, y: at.y, width: at.width, height: at.height, rx: Math.min(at.width / 4, at.height / 4, 3) });
  return svg("path", { class: hue, d: at.path });
}

function label(text, x, y, anchor, name = "plot-text") {
  const element = svg("text", { class: name, x, y, "text-anchor": anchor });
  element.textContent = text;
  return element;
}

function svg(tag, attributes) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
