/**
 * Where everything of a chart stands in a picture of a given width, in CSS pixels. Pure.
 *
 * Texts keep their size at any width: on a narrow screen there are fewer of them, and bars with long names lie.
 */

import { number } from "./messages.js";

const CHARACTER_PX = 6.8; // of 12 px, as wide as most
const ROW_PX = 26; // of a bar that lies
const TITLE_PX = 20;
const GAP_PX = 14;

/**
 * {width, height, lying, area: {x, y, width, height}, ticks: {x: [{at, text}], y: [{at, text}]}, base, shapes, targets}.
 *
 * A shape is {kind: "line" | "area" | "dot" | "bar" | "slice", series, …}; a target is {x, y, series, index}, the place
 * of a point, in the order of the points.
 */
export function layOut(chart, width) {
  if (chart.mark === "pie") return pie(chart, width);
  const names = chart.categories;
  const lies = chart.mark === "bar" && chart.xType === "band" && names.length * (textWidth(longest(names)) + GAP_PX) > width - 60;
  return lies ? lying(chart, width) : upright(chart, width);
}

function upright(chart, width) {
  const points = chart.series.flatMap((one) => one.points);
  const height = Math.round(Math.min(Math.max(width * 0.52, 220), 360));
  const values = ticksOf(...extent(points.map(({ y }) => y), chart.zero), Math.max(Math.floor(height / 60), 3));
  const texts = values.map((value) => amount(value, values));
  const left = textWidth(longest(texts)) + 10;
  const area = { x: left, y: TITLE_PX + 9, width: Math.max(width - left - 12, 40), height: height - 2 * TITLE_PX - 35 };
  const up = scale(values[0], values.at(-1), area.y + area.height, area.y);
  const across = acrossOf(chart, points, area);
  const base = up(Math.min(Math.max(0, values[0]), values.at(-1)));
  const targets = chart.series.flatMap(({ points: ofOne }, series) => ofOne.map(({ x, y }, index) => ({ x: across.middle(x), y: up(y), series, index })));
  return {
    width, height, lying: false, area, base, targets, shapes: shapesOf(chart, targets, across, base),
    ticks: { x: fitting(across.ticks, area), y: values.map((value, index) => ({ at: up(value), text: texts[index] })) },
  };
}

/** Along x: the middle of a point, how wide a bar is, and all texts that there could be. */
function acrossOf(chart, points, area) {
  if (chart.xType === "band") {
    const step = area.width / chart.categories.length;
    const middle = (x) => area.x + (x + 0.5) * step;
    return { middle, bar: Math.max(Math.min(step * 0.72, 72), 1), ticks: chart.categories.map((text, x) => ({ at: middle(x), text })) };
  }
  if (chart.xType === "time") {
    const [first, last] = extent(points.map(({ x }) => x), false);
    const pad = chart.mark === "point" || first === last ? 8 : 4;
    const middle = scale(first, last, area.x + pad, area.x + area.width - pad);
    const known = new Map(points.map(({ x, label }) => [x, label]));
    return { middle, bar: 0, ticks: [...known].toSorted(([a], [b]) => a - b).map(([x, text]) => ({ at: middle(x), text })) };
  }
  const [first, last] = extent(points.map(({ x }) => x), chart.xZero);
  const values = ticksOf(first, last + (chart.bin ?? 0), Math.max(Math.floor(area.width / 70), 2));
  const place = scale(Math.min(first, values[0]), Math.max(last + (chart.bin ?? 0), values.at(-1)), area.x, area.x + area.width);
  const middle = chart.bin === null ? place : (x) => place(x + chart.bin / 2);
  const bar = chart.bin === null ? 0 : Math.max(place(chart.bin) - place(0) - 1, 1);
  return { middle, bar, ticks: values.map((value) => ({ at: place(value), text: amount(value, values) })) };
}

function shapesOf({ mark, series }, targets, { bar }, base) {
  return series.flatMap((_, of) => {
    const own = targets.filter((target) => target.series === of);
    if (mark === "bar") return own.map(({ x, y, index }) => ({ kind: "bar", series: of, index, x: x - bar / 2, y: Math.min(y, base), width: bar, height: Math.max(Math.abs(base - y), 1) }));
    const dots = own.map(({ x, y, index }) => ({ kind: "dot", series: of, index, x, y, small: mark !== "point" }));
    if (mark === "point") return dots;
    const line = own.map(({ x, y }, index) => `${index === 0 ? "M" : "L"}${fixed(x)} ${fixed(y)}`).join("");
    const shapes = [{ kind: "line", series: of, path: line }, ...(own.length <= 80 ? dots : [])];
    if (mark === "area" && own.length > 0) shapes.unshift({ kind: "area", series: of, path: `${line}L${fixed(own.at(-1).x)} ${fixed(base)}L${fixed(own[0].x)} ${fixed(base)}Z` });
    return shapes;
  });
}

/** Bars that lie, one a row, each below its name where there is no room beside it. */
function lying(chart, width) {
  const { points } = chart.series[0];
  const left = Math.round(Math.min(textWidth(longest(chart.categories)) + 10, width * 0.4));
  const values = ticksOf(...extent(points.map(({ y }) => y), true), Math.max(Math.floor((width - left) / 80), 2));
  const texts = values.map((value) => amount(value, values));
  const right = textWidth(texts.at(-1)) / 2 + 2;
  const area = { x: left, y: 6, width: Math.max(width - left - right, 40), height: chart.categories.length * ROW_PX };
  const along = scale(values[0], values.at(-1), area.x, area.x + area.width);
  const base = along(Math.min(Math.max(0, values[0]), values.at(-1)));
  const targets = points.map(({ x, y }, index) => ({ x: along(y), y: area.y + (x + 0.5) * ROW_PX, series: 0, index }));
  return {
    width, height: area.height + TITLE_PX * 2 + 10, lying: true, area, base, targets,
    shapes: targets.map(({ x, y, index }) => ({ kind: "bar", series: 0, index, x: Math.min(x, base), y: y - ROW_PX * 0.34, width: Math.max(Math.abs(x - base), 1), height: ROW_PX * 0.68 })),
    ticks: {
      x: values.map((value, index) => ({ at: along(value), text: texts[index] })),
      y: chart.categories.map((text, x) => ({ at: area.y + (x + 0.5) * ROW_PX, text: shortened(text, left - 10) })),
    },
  };
}

function pie({ series: [{ points }] }, width) {
  const size = Math.round(Math.min(width, 260));
  const [middle, outer] = [size / 2, size / 2 - 4];
  const inner = outer * 0.55;
  const total = points.reduce((sum, { y }) => sum + y, 0) || 1;
  let from = 0;
  const shapes = [];
  const targets = [];
  points.forEach(({ y }, index) => {
    const to = from + (y / total) * 2 * Math.PI;
    shapes.push({ kind: "slice", series: index, index, share: y / total, path: slice(middle, inner, outer, from, to) });
    const [x, at] = polar(middle, (inner + outer) / 2, (from + to) / 2);
    targets.push({ x, y: at, series: 0, index });
    from = to;
  });
  return { width: size, height: size, lying: false, area: { x: 0, y: 0, width: size, height: size }, base: 0, targets, shapes, ticks: { x: [], y: [] } };
}

function slice(middle, inner, outer, from, to) {
  const end = Math.min(to, from + 2 * Math.PI - 1e-4); // a whole circle has no beginning
  const wide = end - from > Math.PI ? 1 : 0;
  const [a, b, c, d] = [polar(middle, outer, from), polar(middle, outer, end), polar(middle, inner, end), polar(middle, inner, from)].map(([x, y]) => `${fixed(x)} ${fixed(y)}`);
  return `M${a}A${fixed(outer)} ${fixed(outer)} 0 ${wide} 1 ${b}L${c}A${fixed(inner)} ${fixed(inner)} 0 ${wide} 0 ${d}Z`;
}

function polar(middle, radius, angle) {
  return [middle + radius * Math.sin(angle), middle - radius * Math.cos(angle)];
}

/** Round numbers from below `low` to above `high`, about `count` of them. */
export function ticksOf(low, high, count) {
  if (low === high) [low, high] = low === 0 ? [0, 1] : [Math.min(low, 0), Math.max(high, 0)];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= raw * (1 - 1e-9));
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** As many of the texts as have room beside each other, at equal distances. */
function fitting(ticks, area) {
  const widest = Math.min(textWidth(longest(ticks.map(({ text }) => text))), 110);
  const most = Math.max(Math.floor((area.width + GAP_PX) / (widest + GAP_PX)), 1);
  const stride = Math.ceil(ticks.length / most);
  return ticks.filter((_, index) => index % stride === 0).map(({ at, text }) => {
    const half = textWidth(text) / 2;
    const shown = shortened(text, 110);
    return { at, text: shown, anchor: at + half > area.x + area.width + 12 ? "end" : at - half < 0 ? "start" : "middle" };
  });
}

function extent(values, zero) {
  const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  return zero ? [Math.min(low, 0), Math.max(high, 0)] : [low, high];
}

function scale(from, to, start, end) {
  return (value) => (from === to ? (start + end) / 2 : start + ((value - from) / (to - from)) * (end - start));
}

/** A number on an axis, short if the axis is of large ones. */
function amount(value, values) {
  const large = Math.max(...values.map(Math.abs)) >= 10_000;
  return number(value, large ? { notation: "compact", maximumFractionDigits: 2 } : { maximumFractionDigits: 6 });
}

function longest(texts) {
  return texts.reduce((most, text) => (text.length > most.length ? text : most), "");
}

export function textWidth(text) {
  return text.length * CHARACTER_PX;
}

function shortened(text, width) {
  const most = Math.max(Math.floor(width / CHARACTER_PX), 3);
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function fixed(value) {
  return Number(value.toFixed(2));
}
