/** Line icons on a 20 × 20 grid, drawn with the current text colour. */

const PATHS = Object.freeze({
  plus: "M10 4v12M4 10h12",
  search: "M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12zM17 17l-3.8-3.8",
  fold: "M3.5 4h13v12h-13zM8 4v12",
  menu: "M3 6h14M3 10h14M3 14h9",
  close: "M5 5l10 10M15 5L5 15",
  inbox: "M3 11.5l2.2-7h9.6l2.2 7v4.5H3zM3 11.5h4l1.2 2h3.6l1.2-2h4",
  more: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  send: "M10 16V4M5 9l5-5 5 5",
  microphone: "M10 12.5a2.8 2.8 0 0 0 2.8-2.8V5.6a2.8 2.8 0 0 0-5.6 0v4.1a2.8 2.8 0 0 0 2.8 2.8zM4.6 9.7a5.4 5.4 0 0 0 10.8 0M10 15.1v2.7",
  clip: "M15.5 9.5l-5.4 5.4a3.4 3.4 0 0 1-4.8-4.8l5.9-5.9a2.3 2.3 0 0 1 3.2 3.2l-5.8 5.8a1.1 1.1 0 0 1-1.6-1.6l5-5",
  copy: "M7.5 7.5h8v8h-8zM4.5 12.5v-8h8",
  check: "M4 10.5l4 4 8-9",
  chevron: "M6 8l4 4 4-4",
  down: "M10 4v12M5 11l5 5 5-5",
  download: "M10 3.5v9M6 9l4 4 4-4M4 16.5h12",
  gear: "M10 12.6a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2zM8.6 2.8h2.8l.4 2 1.5.9 1.9-.7 1.4 2.4-1.5 1.4v1.8l1.5 1.4-1.4 2.4-1.9-.7-1.5.9-.4 2H8.6l-.4-2-1.5-.9-1.9.7-1.4-2.4 1.5-1.4V8.8L3.4 7.4 4.8 5l1.9.7 1.5-.9z",
  thought: "M10 3.5a5 5 0 0 1 3 9c-.6.5-.8 1-.8 1.8H7.8c0-.8-.2-1.3-.8-1.8a5 5 0 0 1 3-9zM8 17h4",
  tool: "M12.5 3.5a4 4 0 0 0-4.6 5.4l-5 5a1.6 1.6 0 0 0 2.3 2.3l5-5a4 4 0 0 0 5.3-4.7l-2.3 2.3-2.3-.6-.6-2.3z",
  handoff: "M3 7h11M11 4l3 3-3 3M17 13H6M9 10l-3 3 3 3",
  shield: "M10 2.8l6 2.2v4.5c0 3.7-2.5 6.5-6 7.7-3.5-1.2-6-4-6-7.7V5zM7.5 10l1.8 1.8 3.3-3.6",
  picture: "M3.5 4.5h13v11h-13zM3.5 13l3.5-3.5 3 3 2.5-2.5 4 4M12.5 7.5h.01",
  table: "M3.5 4.5h13v11h-13zM3.5 8.2h13M3.5 11.8h13M8.5 4.5v11",
  expand: "M12 3.5h4.5V8M8 16.5H3.5V12M16.5 3.5l-5 5M3.5 16.5l5-5",
  sort: "M7 8l3-3.5L13 8M7 12l3 3.5 3-3.5",
  file: "M5 2.8h6.5L15.5 7v10.2h-10.5zM11.5 2.8V7h4",
  warning: "M10 3.2l7.3 13.1H2.7zM10 8.2v3.6M10 14.2h.01",
  clock: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM10 6v4l2.7 1.7",
  continue: "M5 4.2v11.6M8.5 4.2l7 5.8-7 5.8z",
  retry: "M16 10a6 6 0 1 1-1.8-4.3M16.3 2.8v3.5h-3.5",
  keyboard: "M2.5 5h15v10h-15zM5.5 8h.01M8.5 8h.01M11.5 8h.01M14.5 8h.01M5.5 12h.01M8 12h4M14.5 12h.01",
  pencil: "M4 16l.8-3.3L13.5 4a1.5 1.5 0 0 1 2.2 0l.3.3a1.5 1.5 0 0 1 0 2.2L7.3 15.2z",
  thumbup: "M6.5 9v7.5M6.5 9L9.8 3a1.7 1.7 0 0 1 2 2l-.6 3h4a1.5 1.5 0 0 1 1.5 1.8l-1 5.2a1.5 1.5 0 0 1-1.5 1.2H6.5M6.5 16.5h-3V9h3",
  thumbdown: "M13.5 11V3.5M13.5 11l-3.3 6a1.7 1.7 0 0 1-2-2l.6-3h-4a1.5 1.5 0 0 1-1.5-1.8l1-5.2a1.5 1.5 0 0 1 1.5-1.2h7.7M13.5 3.5h3V11h-3",
  refused: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM5.2 5.2l9.6 9.6",
  left: "M12 5l-5 5 5 5",
  right: "M8 5l5 5-5 5",
  undo: "M7.5 4.5L4 8l3.5 3.5M4 8h7.5a4 4 0 0 1 0 8H8",
  leave: "M8 3.5H4.5v13H8M12.5 6.5L16 10l-3.5 3.5M16 10H8",
  person: "M10 10a3.3 3.3 0 1 0 0-6.6 3.3 3.3 0 0 0 0 6.6zM3.8 16.8a6.4 6.4 0 0 1 12.4 0",
  link: "M8.2 11.8a3.2 3.2 0 0 0 4.6 0l2.8-2.8a3.2 3.2 0 0 0-4.6-4.6L9.6 5.8M11.8 8.2a3.2 3.2 0 0 0-4.6 0L4.4 11a3.2 3.2 0 0 0 4.6 4.6l1.4-1.4",
  pin: "M7 3h6l-.8 5 2.8 3H5l2.8-3zM10 11v6",
  archive: "M3 4h14v3.5H3zM4.2 7.5V16h11.6V7.5M8 10.5h4",
  tag: "M3.5 3.5h6.2l6.8 6.8-6.2 6.2-6.8-6.8zM7 7h.01",
  chat: "M4 4.5h12v9H9l-3.5 3v-3H4z",
  trash: "M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5l.7 11h7.6l.7-11",
});

const SPACE = "http://www.w3.org/2000/svg";

/** A part of a drawing: `shape("line", {x1: 0, x2: 9, class: "tick"})`. */
export function shape(tag, attributes) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** A fresh, decorative icon: the name for assistive technology stands on the control around it. */
export function icon(name) {
  const svg = shape("svg", { viewBox: "0 0 20 20", "aria-hidden": "true", class: `icon icon-${name}` });
  svg.append(shape("path", { d: PATHS[name] }));
  return svg;
}
