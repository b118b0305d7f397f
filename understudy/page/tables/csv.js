/** Tables as CSV. Pure. */

import { cellText } from "./table_data.js";

/**
 * A table as CSV with quoted fields where needed (RFC 4180). Text that a spreadsheet would take for a formula is shown
 * to it as text, by an apostrophe before it (OWASP, CSV injection); numbers stay numbers.
 */
export function csv({ columns, rows }) {
  const line = (fields) => fields.map((field) => {
    const text = inert(cellText(field));
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }).join(",");
  return [columns, ...rows].map(line).join("\r\n");
}

function inert(text) {
  return /^[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? `'${text}` : text;
}
