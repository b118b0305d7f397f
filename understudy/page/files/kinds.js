/** The files that were made for an answer, and the kind of each by its name and type. Pure. */

const PICTURES = /^image\/(?:png|jpeg|gif|webp|svg\+xml)$/;
const TABLES = /\.(?:csv|tsv)$/i;
const TEXTS = /\.(?:txt|md|json|jsonl|html?|xml|ya?ml|toml|ini|log|py|m?js|ts|css|sql|sh|r|go|rs|java|c|cpp|h|diff|patch)$/i;

/** The files of a turn, each once: those of its calls as they end, then those that its answer names. */
export function madeFiles({ steps, final }) {
  const ofCalls = steps.flatMap(({ files }) => files ?? []);
  const named = Array.isArray(final?.data?.files) ? final.data.files : [];
  const files = [...ofCalls, ...named].filter((file) => typeof file?.id === "string" && typeof file.name === "string");
  return [...new Map(files.map((file) => [file.id, file])).values()];
}

/** "image", "table", "text" or "file": what a file is likely to be, before the server has looked at it. */
export function likelyKind({ name = "", media_type: type = "" }) {
  if (PICTURES.test(type) || /\.(?:png|jpe?g|gif|webp|svg)$/i.test(name)) return "image";
  if (TABLES.test(name) || type === "text/csv") return "table";
  return TEXTS.test(name) || type?.startsWith("text/") ? "text" : "file";
}

/** "CSV" of "sales.csv"; empty if the name has no ending. */
export function ending(name) {
  return /\.(\w{1,8})$/.exec(name)?.[1].toUpperCase() ?? "";
}
