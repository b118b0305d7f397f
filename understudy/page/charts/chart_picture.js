/**
 * The picture of a chart, drawn from its specification: it follows the theme and the width, and tells the values of the point
 * under the pointer or the arrow keys. It is an image, in which nothing runs or loads.
 */

import { el, setText } from "../elements/dom.js";
import { language, t } from "../client/messages.js";
import { ROOT } from "../client/address.js";
import { scriptUrl } from "../answer/safe_html.js";

const STEPS = Object.freeze({ ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 });
const PAPER = Object.freeze({ ink: "#55514a", faint: "#6e695f", line: "#e3dfd7" }); // of what is saved, whatever the theme
const AWAY = 10; // pixels from a point to its values
const DARK = matchMedia("(prefers-color-scheme: dark)");

export class ChartPicture {
  /** `label` says what is shown; `onDrawn(drawn)` is called once it is drawn, or cannot be. */
  constructor(spec, label, onDrawn) {
    Object.assign(this, { spec, onDrawn, address: null, points: [], current: -1, width: 0, drawing: 0 });
    this.image = el("img.plot-image", { alt: "", hidden: true });
    this.mark = el("div.plot-mark", { hidden: true });
    this.tip = el("div.plot-tip", { hidden: true, "aria-hidden": "true" });
    this.said = el("p.offscreen", { role: "status", "aria-live": "polite" });
    this.canvas = el("div.plot-canvas", { role: "application", tabIndex: 0, "aria-label": label, "aria-roledescription": t("chart.name") },
      (this.ground = el("div.plot-ground.is-waiting", {}, this.image, this.mark, this.tip)));
    this.element = el("div.plot", { dir: "ltr" }, this.canvas, this.said);
    this.redraw = () => this.#draw();
    this.watch = new ResizeObserver(([{ contentRect }]) => this.#resize(Math.floor(contentRect.width)));
    this.watch.observe(this.canvas);
    this.theme = new MutationObserver(this.redraw);
    this.theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    DARK.addEventListener("change", this.redraw);
    this.#listen();
  }

  destroy() {
    this.watch.disconnect();
    this.theme.disconnect();
    DARK.removeEventListener("change", this.redraw);
    this.drawing = -1;
    if (this.address) URL.revokeObjectURL(this.address);
  }

  /** The picture for a file, as a blob. */
  async saved() {
    const { svg } = await drawChart(this.spec, { ...this.#look(), ...PAPER });
    return new Blob([svg], { type: "image/svg+xml" });
  }

  #resize(width) {
    if (width < 40 || width === this.width) return;
    this.width = width;
    this.#draw();
  }

  #look() {
    const style = getComputedStyle(this.element);
    const colour = (name) => style.getPropertyValue(name).trim();
    return { width: this.width, font: style.fontFamily, ink: colour("--ink-2"), faint: colour("--ink-3"), line: colour("--line"), locale: language().locale };
  }

  async #draw() {
    if (this.width === 0) return;
    const drawing = this.drawing += 1;
    const drawn = await drawChart(this.spec, this.#look());
    if (drawing !== this.drawing) return; // another width or theme since
    if (drawn) await this.#show(drawn);
    if (this.drawing >= 0) this.onDrawn(drawn !== null);
  }

  async #show({ svg, points }) {
    const before = this.address;
    this.address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    this.image.src = this.address;
    this.image.hidden = false;
    this.ground.classList.remove("is-waiting");
    this.points = points;
    this.canvas.setAttribute("role", points.length > 0 ? "application" : "img");
    if (before) URL.revokeObjectURL(before);
    await this.image.decode().catch(() => {});
    this.#point(this.current, false);
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
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const end = this.points.length - 1;
    const by = STEPS[event.key];
    let wanted = null;
    if (by !== undefined) wanted = this.current < 0 ? (by > 0 ? 0 : end) : Math.min(Math.max(this.current + by, 0), end);
    else if (event.key === "Home") wanted = 0;
    else if (event.key === "End") wanted = end;
    else if (event.key === "Escape" && this.current >= 0) wanted = -1;
    if (wanted === null) return;
    event.preventDefault();
    event.stopPropagation();
    this.#point(wanted, true);
  }

  /** The place among the points of the one that is meant by a pointer. */
  #nearest({ clientX, clientY }) {
    const frame = this.image.getBoundingClientRect();
    const [x, y] = [clientX - frame.left, clientY - frame.top];
    const out = (from, at, to) => Math.max(from - at, at - to, 0);
    const far = ({ box: [left, top, right, bottom] }) => Math.hypot(out(left, x, right), out(top, y, bottom));
    return this.points.reduce((best, point, index) => (best < 0 || far(point) < far(this.points[best]) ? index : best), -1);
  }

  /** Shows the values of a point, none if -1; `speak`: as a screen reader is to hear it. */
  #point(which, speak) {
    this.current = this.points[which] ? which : -1;
    const point = this.points[this.current];
    this.tip.hidden = this.mark.hidden = !point;
    if (!point) return;
    const { box: [left, top, right, bottom], values } = point;
    this.tip.replaceChildren(...values.map(([name, value]) => el("span", {}, name && `${name}: `, el("strong", {}, value))));
    const said = values.map(([name, value]) => (name ? `${name}: ${value}` : value)).join(", ");
    if (speak) setText(this.said, t("chart.point", { values: said, which: this.current + 1, count: this.points.length }));
    Object.assign(this.mark.style, { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` });
    const { offsetWidth: wide, offsetHeight: high } = this.tip;
    const covers = top - AWAY < high && bottom - top < high; // above it there is no room: then below it
    this.tip.style.left = `${Math.max(Math.min((left + right) / 2, this.image.width - wide / 2), wide / 2)}px`;
    this.tip.style.top = `${covers ? bottom + AWAY + high : Math.max(top - AWAY, high)}px`;
    if (speak) this.tip.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

// Has charts drawn, one at a time, by a worker without a network. One that takes too long is ended with its worker.

const READY_MS = 30_000; // for the worker's script, which is some hundred kilobytes
const DRAW_MS = 10_000;

let worker = null; // {instance, ready}
let last = Promise.resolve();

/** Resolves to {svg, points} of a Vega-Lite specification, as `packaging/page/chart_worker.js` makes them; null if it cannot be drawn. */
export function drawChart(spec, look) {
  last = last.then(() => draw({ spec, look })).catch(() => null);
  return last;
}

async function draw(request) {
  worker ??= begin();
  const { instance, ready } = worker;
  const answer = (await ready) === null ? null : await ask(instance, request);
  if (answer === null) {
    instance.terminate();
    worker = null;
  }
  if (answer?.fault) console.warn(answer.fault); // for the author of its tool
  return answer?.svg ? answer : null;
}

function begin() {
  const instance = new Worker(scriptUrl(`${ROOT}/chart-worker.js`));
  return { instance, ready: answerOf(instance, READY_MS) };
}

function ask(instance, request) {
  const answer = answerOf(instance, DRAW_MS);
  instance.postMessage(request);
  return answer;
}

/** Resolves to what a worker says next; null if it fails, or says nothing in time. */
function answerOf(instance, within) {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, within, null);
    const end = (answer) => {
      clearTimeout(late);
      resolve(answer);
    };
    instance.onmessage = ({ data }) => end(data);
    instance.onerror = () => end(null);
  });
}
