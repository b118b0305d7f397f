/** The data of a chart as a table, read from its Vega-Lite specification. Pure. */

import { asTable } from "../tables/table_data.js";
import { dateTime, number } from "../client/messages.js";

const MOMENT = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?$/;

/** {columns, rows} with the titles that the chart has, null if there are no rows within the specification. */
export function chartTable(spec) {
  const table = asTable(dataOf(spec));
  if (table === null) return null;
  const channels = encodings(spec);
  let { columns, rows } = table;
  const end = columns.indexOf(channels.find(([name]) => name === "x2")?.[1].field);
  const start = columns.indexOf(channels.find(([name]) => name === "x")?.[1].field);
  if (start >= 0 && end >= 0) {
    rows = rows.map((row) => row.map((cell, at) => (at === start ? `${written(cell)} – ${written(row[end])}` : cell)).toSpliced(end, 1));
    columns = columns.toSpliced(end, 1);
  }
  columns.forEach((column, at) => {
    const cells = rows.map((row) => row[at]);
    if (!cells.every((cell) => typeof cell === "string" && MOMENT.test(cell) && !Number.isNaN(utc(cell)))) return;
    const options = { timeZone: "UTC", ...grain(cells.map((cell) => new Date(utc(cell)))) };
    rows = rows.map((row) => row.with(at, dateTime(utc(row[at]), options)));
  });
  const titles = new Map(channels.filter(([, { field, title }]) => field && typeof title === "string").map(([, { field, title }]) => [field, title]));
  return { columns: columns.map((column) => titles.get(column) ?? column), rows };
}

function dataOf(spec) {
  const { data, datasets = {} } = spec ?? {};
  const views = spec?.layer ?? spec?.hconcat ?? spec?.vconcat ?? spec?.concat ?? (spec?.spec ? [spec.spec] : []);
  return data?.values ?? datasets[data?.name] ?? Object.values(datasets)[0] ?? (Array.isArray(views) ? views.map(dataOf).find(Boolean) : null) ?? null;
}

/** [channel, definition] of a view and of its layers. */
function encodings(spec) {
  const own = Object.entries(spec.encoding ?? {}).filter(([, definition]) => definition && typeof definition === "object");
  return [...own, ...(Array.isArray(spec.layer) ? spec.layer.flatMap(encodings) : [])];
}

function written(value) {
  return typeof value === "number" ? number(value) : String(value);
}

/** A time without a zone is told as it is written. */
function utc(text) {
  return Date.parse(/T[\d:.]+$/.test(text) ? `${text}Z` : text);
}

/** Returns the precision of times in a column: the coarsest that shows all of them exactly. */
function grain(times) {
  const day = { year: "numeric", month: "short", day: "numeric" };
  if (!times.every((time) => time.getTime() % 86_400_000 === 0)) return { ...day, hour: "2-digit", minute: "2-digit" };
  if (!times.every((time) => time.getUTCDate() === 1)) return day;
  return times.every((time) => time.getUTCMonth() === 0) ? { year: "numeric" } : { year: "numeric", month: "short" };
}
