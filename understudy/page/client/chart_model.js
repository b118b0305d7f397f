/**
 * The charts that the page draws itself, read from their Vega-Lite specification. Pure.
 *
 * These are single views of inline data with one mark, such as the tools of the server make. Any other specification
 * gives null: then the page shows the picture that came with it.
 */

import { dateTime, number } from "./messages.js";

/**
 * @typedef {object} Point
 * @property {number} x on its axis: ms of a time, a number, or the index of a category
 * @property {string} label what it is at
 * @property {number} y
 */

/**
 * @typedef {object} Chart
 * @property {"line"|"area"|"bar"|"point"|"pie"} mark
 * @property {"time"|"number"|"band"} xType
 * @property {string} xTitle
 * @property {string} yTitle
 * @property {number|null} bin the width of the bars along numbers
 * @property {boolean} zero whether the values are drawn from zero
 * @property {boolean} xZero whether the numbers along x are
 * @property {{name: string, points: Point[]}[]} series
 * @property {string[]} categories of a band, in order
 */

const MARKS = Object.freeze({ line: "line", area: "area", bar: "bar", point: "point", circle: "point", square: "point", arc: "pie" });
const MAX_POINTS = 2000;
const MAX_SERIES = 12;
const AGGREGATED = ["aggregate", "timeUnit", "impute", "stack"];

/** @returns {Chart|null} */
export function readChart(spec) {
  const mark = MARKS[typeof spec?.mark === "string" ? spec.mark : spec?.mark?.type];
  const { values } = spec?.data ?? {};
  const encoding = spec?.encoding ?? {};
  if (!mark || !Array.isArray(values) || values.length === 0 || values.length > MAX_POINTS || spec.transform || spec.facet) return null;
  if (!values.every((row) => row !== null && typeof row === "object")) return null;
  return mark === "pie" ? readPie(values, encoding) : readAxes(mark, values, encoding);
}

function readPie(values, { theta, color, ...rest }) {
  if (!theta?.field || !color?.field || theta.aggregate || rest.row || rest.column) return null;
  const points = values.map((row, x) => ({ x, label: String(row[color.field] ?? ""), y: row[theta.field] }));
  if (!points.every(({ y }) => Number.isFinite(y) && y >= 0)) return null;
  return {
    mark: /** @type {"pie"} */ ("pie"), xType: /** @type {"band"} */ ("band"), xTitle: titleOf(color), yTitle: titleOf(theta), bin: null, zero: true, xZero: false,
    series: [{ name: "", points }], categories: points.map(({ label }) => label),
  };
}

function readAxes(mark, values, { x, y, x2, color, tooltip: _tooltip, ...rest }) {
  if (!x?.field || !y?.field || Object.keys(rest).length > 0 || y.type !== "quantitative") return null;
  if (AGGREGATED.some((name) => x[name] !== undefined || y[name] !== undefined)) return null;
  const scaled = [x.scale, y.scale].some((scale) => scale && Object.keys(scale).some((name) => name !== "zero" && scale[name] !== "utc"));
  const binned = x.bin === undefined ? null : x.bin?.binned && x2 ? Number(x.bin.step) : NaN;
  const named = color?.field && color.field !== x.field ? color.field : null;
  const severalBars = named !== null && mark !== "line" && mark !== "point"; // stacked or side by side
  if (scaled || Number.isNaN(binned) || severalBars || (color && !color.field && !color.value)) return null;
  const xType = x.type === "temporal" ? "time" : x.type === "quantitative" ? "number" : "band";
  if (xType === "band" && x.sort !== null && x.sort !== undefined) return null;
  if (mark === "bar" && xType !== "band" && binned === null) return null;
  return build(mark, xType, values, { x, y, named, binned });
}

function build(mark, xType, values, { x, y, named, binned }) {
  const at = { time: (value) => Date.parse(utc(value)), number: Number, band: null }[xType];
  let categories = [...new Set(values.map((row) => String(row[x.field] ?? "")))];
  if (x.sort === undefined) categories = categories.toSorted(); // as Vega-Lite has it
  const index = new Map(categories.map((category, place) => [category, place]));
  const rows = values.map((row) => ({ x: at ? at(row[x.field]) : index.get(String(row[x.field] ?? "")), raw: row[x.field], y: row[y.field], name: named === null ? "" : String(row[named] ?? "") }))
    .filter((row) => row.y !== null && row.y !== undefined);
  if (rows.length === 0 || !rows.every((row) => Number.isFinite(row.x) && Number.isFinite(row.y))) return null;
  const label = labels(xType, rows, binned);
  const series = grouped(rows);
  if (series.length > MAX_SERIES) return null;
  return {
    mark, xType, xTitle: titleOf(x), yTitle: titleOf(y), bin: binned, categories: xType === "band" ? categories : [],
    zero: (y.scale?.zero ?? true) || mark === "bar" || mark === "area",
    xZero: xType === "number" && binned === null && (x.scale?.zero ?? true),
    series: series.map(([name, points]) => ({
      name, points: points.map((row) => ({ x: row.x, label: label(row), y: row.y })).toSorted((a, b) => a.x - b.x),
    })),
  };
}

function grouped(rows) {
  const found = new Map();
  for (const row of rows) found.set(row.name, [...(found.get(row.name) ?? []), row]);
  return [...found];
}

/** The text of a point's place, as exact as all of them are: years, months, days or minutes. */
function labels(xType, rows, bin) {
  if (bin !== null) return ({ x }) => `${number(x)} – ${number(round(x + bin))}`;
  if (xType === "number") return ({ x }) => number(x);
  if (xType === "band") return ({ raw }) => String(raw ?? "");
  const times = rows.map(({ x }) => new Date(x));
  const options = { timeZone: "UTC", ...grain(times) };
  return ({ x }) => dateTime(x, options);
}

function grain(times) {
  const day = { year: "numeric", month: "short", day: "numeric" };
  if (!times.every((time) => time.getTime() % 86_400_000 === 0)) return { ...day, hour: "2-digit", minute: "2-digit" };
  if (!times.every((time) => time.getUTCDate() === 1)) return day;
  return times.every((time) => time.getUTCMonth() === 0) ? { year: "numeric" } : { year: "numeric", month: "short" };
}

/** A time without a zone is one of UTC, as the server draws it. */
function utc(value) {
  return typeof value === "string" && /T\d\d:\d\d/.test(value) && !/(?:Z|[+-]\d\d:?\d\d)$/.test(value) ? `${value}Z` : value;
}

function titleOf({ title, field }) {
  return typeof title === "string" ? title : field;
}

function round(value) {
  return Number(value.toPrecision(12));
}

/** {columns, rows}: what the chart shows, as a table. */
export function chartTable({ series, xTitle, yTitle }) {
  const several = series.length > 1;
  return {
    columns: [xTitle, ...(several ? [""] : []), yTitle],
    rows: series.flatMap(({ name, points }) => points.map(({ label, y }) => [label, ...(several ? [name] : []), y])),
  };
}
