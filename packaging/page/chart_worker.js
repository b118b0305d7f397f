/**
 * Draws charts by Vega-Lite, in a worker that has no network: it is sent a specification, and sends back an SVG and the points in it.
 *
 * The bundler makes one script of Vega and this, `page/lib/chart_worker.js`, which the server sends as /chart-worker.js. What a
 * specification computes is worked out by Vega's interpreter, as the policies of the page and of this worker allow no `eval`.
 */

import { parse, View } from "vega";
import { expressionInterpreter } from "vega-interpreter";
import { compile } from "vega-lite";

const MOST_POINTS = 5_000; // of which values are told
const MOST_SVG = 4_000_000; // characters
const PADDING = 2;
const SENTENCE = 500; // characters of what is said of a fault
const CORNERED = new Set(["line", "area", "trail"]); // shapes of many points
const PARTS = /^(?:axis|legend|title|(?:row|column)-)/; // roles of what stands around the points

/** What Vega asks for data, and whether an address may be that of an image or a link: there are none. */
const LOADER = {
  load: () => Promise.reject(new Error("A chart has its data within its specification.")),
  sanitize: () => Promise.resolve({ href: null }),
};

self.onmessage = async ({ data: { spec, look } }) => {
  try {
    postMessage(await draw(spec, look));
  } catch (fault) {
    postMessage({ fault: `A chart cannot be drawn: ${fault?.message ?? fault}`.slice(0, SENTENCE) });
  }
};

/** {svg, points: [{box: [x1, y1, x2, y2], values: [[name, text]]}]}. `look` is {width, font, ink, faint, line, locale}. */
async function draw(spec, look) {
  const faults = [];
  const silent = () => logger;
  const logger = { level: () => 0, warn: silent, info: silent, debug: silent, error: (...said) => faults.push(said) && logger };
  const { spec: vega } = compile(fitted(spec, look), { config: configOf(look), logger });
  const view = new View(parse(vega, {}, { ast: true }), { expr: expressionInterpreter, loader: LOADER, locale: localeOf(look.locale), logger, renderer: "none" });
  try {
    await view.runAsync();
    if (faults.length > 0) throw faults[0].find((one) => one instanceof Error) ?? new Error(faults[0].join(" "));
    const { drawn, points } = lookThrough(view.scenegraph().root, view.origin());
    if (drawn === 0) throw new Error("There is nothing to draw.");
    const svg = await view.toSVG();
    if (svg.length > MOST_SVG) throw new Error("The drawing is too large.");
    return { svg, points };
  } finally {
    view.finalize();
  }
}

/** The specification in the page's colours, and as wide as the page where a single view is asked for. */
function fitted({ width, height, config, background, usermeta, ...spec }, look) {
  const { font, ink, faint, line } = look;
  const names = Math.round(look.width * 0.4);
  const texts = { labelColor: ink, titleColor: faint, labelFont: font, titleFont: font, labelFontSize: 12, titleFontSize: 12 };
  const mine = {
    background: null, font,
    axis: { ...texts, gridColor: line, domainColor: line, tickColor: line }, axisY: { labelLimit: names, maxExtent: 2 * names }, legend: texts, header: texts,
    title: { color: ink, subtitleColor: faint }, text: { color: ink },
  };
  const single = spec.mark !== undefined || spec.layer !== undefined;
  const fixed = !single || ["row", "column", "facet"].some((name) => spec.encoding?.[name]);
  const size = fixed ? { width, height } : { width: look.width, height: heightOf(width, height, look.width), autosize: { type: "fit-x", contains: "padding" } };
  return { ...spec, ...size, padding: PADDING, background: null, config: merged(config ?? {}, mine) };
}

/** As high as the specification says for its width, within what reads well. */
function heightOf(width, height, wide) {
  if (height !== null && typeof height === "object") return height; // of a step
  return Math.round(Math.min(Math.max(wide * (width > 0 && height > 0 ? height / width : 0.52), 220), 420));
}

/** What the page has where a specification says nothing. */
function configOf({ ink }) {
  return { numberFormat: ",.12~r", aria: false, axis: { labelSeparation: 8 }, axisX: { labelBound: true, labelOverlap: "greedy" }, mark: { tooltip: true }, view: { stroke: null }, rule: { color: ink } };
}

function merged(below, above) {
  const both = { ...below };
  for (const [name, value] of Object.entries(above)) {
    both[name] = value && typeof value === "object" && below[name] && typeof below[name] === "object" ? merged(below[name], value) : value;
  }
  return both;
}

/** How many shapes a scene has, and those that tell their values; the corners of lines only where there is nothing else. */
function lookThrough(root, [left, top]) {
  const points = [];
  const corners = new Map(); // an area and the line on it have the same
  let drawn = 0;
  const visit = (mark, x, y) => {
    if (PARTS.test(mark.role ?? "")) return;
    for (const item of mark.items) {
      if (mark.marktype === "group") for (const inner of item.items) visit(inner, x + (item.x ?? 0), y + (item.y ?? 0));
      else if (mark.marktype !== "image") drawn += 1;
      if (!item.tooltip || points.length + corners.size >= MOST_POINTS) continue;
      const box = boxOf(mark.marktype, item).map((at, index) => Math.round(at + (index % 2 ? y : x)));
      const values = typeof item.tooltip === "object" ? Object.entries(item.tooltip).map((pair) => pair.map(String)) : [["", String(item.tooltip)]];
      if (CORNERED.has(mark.marktype)) corners.set(`${box} ${values}`, { box, values });
      else points.push({ box, values });
    }
  };
  visit(root, left + PADDING, top + PADDING);
  return { drawn, points: points.length > 0 ? points : [...corners.values()] };
}

function boxOf(type, item) {
  const { x = 0, y = 0, bounds } = item;
  if (CORNERED.has(type)) return [x, y, x, y];
  if (type !== "arc") return [bounds.x1, bounds.y1, bounds.x2, bounds.y2];
  const angle = (item.startAngle + item.endAngle) / 2;
  const radius = ((item.innerRadius ?? 0) + item.outerRadius) / 2;
  const middle = [x + radius * Math.sin(angle), y - radius * Math.cos(angle)];
  return [...middle, ...middle];
}

/** Numbers and dates as the user's language writes them, in the form in which D3 is told. */
function localeOf(tag) {
  const number = new Intl.NumberFormat(tag, { useGrouping: true });
  const sign = (type) => number.formatToParts(12345.6).find((part) => part.type === type)?.value ?? "";
  const named = (count, at, options) => Array.from({ length: count }, (_, index) => new Intl.DateTimeFormat(tag, { timeZone: "UTC", ...options }).format(at(index)));
  const month = (index) => Date.UTC(2023, index, 1);
  const day = (index) => Date.UTC(2023, 0, 1 + index); // a Sunday
  const plain = new Intl.NumberFormat(tag, { useGrouping: false });
  return {
    number: { decimal: sign("decimal"), thousands: sign("group"), grouping: [3], currency: ["", ""], numerals: Array.from({ length: 10 }, (_, digit) => plain.format(digit)) },
    time: {
      dateTime: "%x, %X", date: "%Y-%m-%d", time: "%H:%M:%S", periods: ["AM", "PM"],
      days: named(7, day, { weekday: "long" }), shortDays: named(7, day, { weekday: "short" }),
      months: named(12, month, { month: "long" }), shortMonths: named(12, month, { month: "short" }),
    },
  };
}

postMessage({ ready: true });
