/** Line icons on a 20 × 20 grid, drawn with the current text colour. */

const PATHS = Object.freeze({
  plus: "M10 4v12M4 10h12",
  search: "M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12zM17 17l-3.8-3.8",
  menu: "M3 6h14M3 10h14M3 14h9",
  close: "M5 5l10 10M15 5L5 15",
  more: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  send: "M10 16V4M5 9l5-5 5 5",
  clip: "M15.5 9.5l-5.4 5.4a3.4 3.4 0 0 1-4.8-4.8l5.9-5.9a2.3 2.3 0 0 1 3.2 3.2l-5.8 5.8a1.1 1.1 0 0 1-1.6-1.6l5-5",
  copy: "M7.5 7.5h8v8h-8zM4.5 12.5v-8h8",
  check: "M4 10.5l4 4 8-9",
  chevron: "M6 8l4 4 4-4",
  down: "M10 4v12M5 11l5 5 5-5",
  download: "M10 3.5v9M6 9l4 4 4-4M4 16.5h12",
  sun: "M10 13.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10 1.8v1.7M10 16.5v1.7M1.8 10h1.7M16.5 10h1.7M4.2 4.2l1.2 1.2M14.6 14.6l1.2 1.2M4.2 15.8l1.2-1.2M14.6 5.4l1.2-1.2",
  moon: "M16.5 11.8A6.8 6.8 0 0 1 8.2 3.5a6.8 6.8 0 1 0 8.3 8.3z",
  auto: "M10 17a7 7 0 1 0 0-14v14zM10 3a7 7 0 0 0 0 14",
  thought: "M10 3.5a5 5 0 0 1 3 9c-.6.5-.8 1-.8 1.8H7.8c0-.8-.2-1.3-.8-1.8a5 5 0 0 1 3-9zM8 17h4",
  tool: "M12.5 3.5a4 4 0 0 0-4.6 5.4l-5 5a1.6 1.6 0 0 0 2.3 2.3l5-5a4 4 0 0 0 5.3-4.7l-2.3 2.3-2.3-.6-.6-2.3z",
  handoff: "M3 7h11M11 4l3 3-3 3M17 13H6M9 10l-3 3 3 3",
  shield: "M10 2.8l6 2.2v4.5c0 3.7-2.5 6.5-6 7.7-3.5-1.2-6-4-6-7.7V5zM7.5 10l1.8 1.8 3.3-3.6",
  file: "M5 2.8h6.5L15.5 7v10.2h-10.5zM11.5 2.8V7h4",
  warning: "M10 3.2l7.3 13.1H2.7zM10 8.2v3.6M10 14.2h.01",
  clock: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM10 6v4l2.7 1.7",
  retry: "M16 10a6 6 0 1 1-1.8-4.3M16.3 2.8v3.5h-3.5",
  pencil: "M4 16l.8-3.3L13.5 4a1.5 1.5 0 0 1 2.2 0l.3.3a1.5 1.5 0 0 1 0 2.2L7.3 15.2z",
  thumbup: "M6.5 9v7.5M6.5 9L9.8 3a1.7 1.7 0 0 1 2 2l-.6 3h4a1.5 1.5 0 0 1 1.5 1.8l-1 5.2a1.5 1.5 0 0 1-1.5 1.2H6.5M6.5 16.5h-3V9h3",
  thumbdown: "M13.5 11V3.5M13.5 11l-3.3 6a1.7 1.7 0 0 1-2-2l.6-3h-4a1.5 1.5 0 0 1-1.5-1.8l1-5.2a1.5 1.5 0 0 1 1.5-1.2h7.7M13.5 3.5h3V11h-3",
  refused: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM5.2 5.2l9.6 9.6",
  left: "M12 5l-5 5 5 5",
  right: "M8 5l5 5-5 5",
  undo: "M7.5 4.5L4 8l3.5 3.5M4 8h7.5a4 4 0 0 1 0 8H8",
  trash: "M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5l.7 11h7.6l.7-11",
});

const SPACE = "http://www.w3.org/2000/svg";

/** A fresh, decorative icon: the name for assistive technology stands on the control around it. */
export function icon(name) {
  const svg = document.createElementNS(SPACE, "svg");
  const path = document.createElementNS(SPACE, "path");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${name}`);
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
