/**
 * Bundles the pages: `node bundle.mjs PAGE MADE`. PAGE is the folder `understudy/page`; `MADE/lib` becomes `page/lib`, the
 * libraries that its modules import, and `MADE/bundle` becomes `page/bundle`.
 *
 * Each page's scripts and styles become files named by the hash of their content, so that browsers may keep them for
 * ever; modules that are loaded by `import()` are files of their own, and so are the styles of extensions. Its HTML is changed
 * to name them. Every file has its compressed forms beside it (`.br`, `.gz`).
 */

import { build } from "esbuild";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { basename, dirname, join, resolve } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const BASE = "page/bundle/"; // below the path at which a page is, which `way` leads to
const PAGES = {
  "index.html": "index.html", "admin/index.html": "admin.html", "embed/index.html": "embed.html", "join/index.html": "join.html", "observer/index.html": "observer.html", "share/index.html": "share.html",
}; // source -> name in the bundle
const COMMON = {
  bundle: true, minify: true, write: true, metafile: true, charset: "utf8", legalComments: "none", logLevel: "warning",
  target: ["chrome111", "firefox115", "safari16.4"], external: ["*.svg"], entryNames: "[name]-[hash]", chunkNames: "chunk-[hash]",
};

const LARGE = 1_000_000; // bytes
const WORKER = "chart_worker.js";

const [page, folder] = process.argv.slice(2).map((path) => resolve(path));
const [lib, out] = [join(folder, "lib"), join(folder, "bundle")];
const here = dirname(fileURLToPath(import.meta.url));
await mkdir(out, { recursive: true });

const libraries = (await readdir(join(here, "libraries"))).map((name) => join(here, "libraries", name));
const { metafile: { inputs } } = await build({ ...COMMON, format: "esm", outdir: lib, entryNames: "[name]", entryPoints: libraries });

// What draws charts, for a worker: there a canvas, by which Vega measures texts, is of another kind.
const canvas = {
  name: "worker-canvas",
  setup(bundler) {
    bundler.onResolve({ filter: /^vega-canvas$/ }, ({ path }) => ({ path, namespace: "ours" }));
    bundler.onLoad({ filter: /./, namespace: "ours" }, () => ({
      contents: "export const canvas = (width, height) => new OffscreenCanvas(width || 1, height || 1); export const image = () => null; export { canvas as domCanvas, canvas as nodeCanvas };",
    }));
  },
};
const charts = await build({ ...COMMON, format: "iife", outdir: lib, entryNames: "[name]", entryPoints: [join(here, WORKER)], plugins: [canvas] });
const packages = new Set(Object.keys({ ...inputs, ...charts.metafile.inputs }).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]).filter(Boolean));
packages.add("@mermaid-js/tiny");

// The languages of code that `colours.js` lacks, for whom they are loaded on demand.
const LANGUAGES = "node_modules/highlight.js/lib/languages";
const common = new Set(Object.keys(inputs).map((path) => basename(path)));
const others = (await readdir(join(here, LANGUAGES))).filter((name) => /^[\w-]+\.js$/.test(name) && !common.has(name)).map((name) => basename(name, ".js"));
const { outputFiles: [more] } = await build({
  ...COMMON, format: "esm", write: false, stdin: {
    contents: [...others.map((name, at) => `import l${at} from "./${LANGUAGES}/${name}.js";`), `export default { ${others.map((name, at) => `"${name}": l${at}`).join(", ")} };`].join("\n"),
    resolveDir: here,
  },
});
await writeFile(join(lib, "more_colours.js"), more.contents);
const licences = await Promise.all([...packages].sort().map(async (name) => {
  const files = await readdir(join(here, "node_modules", name));
  const file = files.find((each) => /^licen[cs]e/i.test(each));
  return `${name}\n\n${file ? await readFile(join(here, "node_modules", name, file), "utf8") : ""}`;
}));
await writeFile(join(lib, "licences.txt"), licences.join("\n\n"));

/** A script within a document, which nothing in it ends. */
const inline = (script) => `<script>${script.replaceAll(/<(\/script|!--)/gi, "<\\$1")}</script>`;
const drawing = [join(here, "node_modules", "@mermaid-js", "tiny", "dist", "mermaid.tiny.js"), join(here, "diagram.js")];
const drawn = (await Promise.all(drawing.map((file) => readFile(file, "utf8")))).map(inline);
await writeFile(join(lib, "diagram.html"), ["<!doctype html>", '<meta charset="utf-8">', "<title>Diagram</title>", ...drawn, ""].join("\n"));

// In the bundle they are files of their own, which all pages share.
const shared = await build({ ...COMMON, format: "esm", outdir: out, entryPoints: (await readdir(lib)).filter((name) => name.endsWith(".js") && name !== WORKER).map((name) => join(lib, name)) });
const nameOf = Object.fromEntries(Object.entries(shared.metafile.outputs).map(([file, { entryPoint }]) => [basename(entryPoint), basename(file)]));
const ownLibraries = {
  name: "own-libraries",
  setup(bundler) {
    bundler.onResolve({ filter: /^(?:\.\.\/)+lib\/\w+\.js$/ }, ({ path }) => ({ path: `./${nameOf[basename(path)]}`, external: true }));
  },
};
const html = Object.fromEntries(await Promise.all(Object.keys(PAGES).map(async (name) => [name, await readFile(join(page, name), "utf8")])));

/** The files that a page names by this expression, as paths below PAGE. */
const named = (text, expression) => [...text.matchAll(expression)].map(([, path]) => path);
const STYLES = /<link rel="stylesheet" href="(?:\.\.\/)?page\/([^"]+)">\n?/g;
const MODULES = /<script type="module" src="(?:\.\.\/)?page\/([^"]+)"><\/script>/g;
const SCRIPTS = /<script src="(?:\.\.\/)?page\/([^"]+)"><\/script>/g;
const PRELOADS = /<link rel="modulepreload" href="[^"]+">\n?/g;

/** A name that tells pages apart: `main.js` is "index", `observer/main.js` is "observer". */
const entryName = (path) => (dirname(path) === "." ? "index" : dirname(path).replaceAll("/", "-"));

const PARTS = /import\(`([./]+\/extensions)\/\$\{name\}\/(\w+\.js)`\)/g;
const STYLE = /new URL\("\.\/([\w-]+\.css)", import\.meta\.url\)/g;
const extensions = existsSync(join(page, "extensions")) ? await readdir(join(page, "extensions")) : [];

/** The script of a module, in which imports of extensions name each one, and their styles have the name of a file in OUT. */
async function scriptOf(path) {
  let text = await readFile(path, "utf8");
  text = text.replace(PARTS, (_, folder, file) => {
    const having = extensions.filter((name) => existsSync(join(page, "extensions", name, file)));
    return `({ ${having.map((name) => `"${name}": () => import("${folder}/${name}/${file}")`).join(", ")} })[name]()`;
  });
  for (const [said, name] of text.matchAll(STYLE)) {
    const { metafile } = await build({ ...COMMON, outdir: out, entryNames: "extension-[name]-[hash]", entryPoints: [join(dirname(path), name)] });
    text = text.replaceAll(said, said.replace(name, basename(Object.keys(metafile.outputs)[0])));
  }
  return text;
}

/**
 * Has what is loaded on demand count as using the whole page, which is there by then. So what both use stays with the page;
 * otherwise each combination of parts would have a file of what they share.
 */
const onePiece = (entry) => ({
  name: "one-piece",
  setup(bundler) {
    const onDemand = new Set();
    bundler.onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) => {
      if (kind === "dynamic-import") onDemand.add(resolve(resolveDir, path));
    });
    bundler.onLoad({ filter: /\.js$/ }, async ({ path }) => {
      const script = await scriptOf(path);
      const whole = onDemand.has(path) && /^import /m.test(script) ? `import ${JSON.stringify(entry)};\n` : "";
      return { contents: whole + script, loader: "js" };
    });
  },
});

// Each page by itself: what both use would be a file of its own otherwise, and compress worse.
const scripts = { metafile: { outputs: {} } };
for (const path of new Set(Object.values(html).flatMap((text) => named(text, MODULES)))) {
  const entry = join(page, path);
  const { metafile } = await build({
    ...COMMON, format: "esm", splitting: true, outdir: out, entryPoints: { [entryName(path)]: entry }, plugins: [ownLibraries, onePiece(entry)],
  });
  Object.assign(scripts.metafile.outputs, metafile.outputs);
}
const classic = new Set(Object.values(html).flatMap((text) => named(text, SCRIPTS)));
const plain = await build({
  ...COMMON, bundle: false, external: undefined, outdir: out,
  entryPoints: Object.fromEntries([...classic].map((path) => [basename(path, ".js"), join(page, path)])),
});

/** The chunks that a file loads at once. */
const chunksOf = ({ imports }) => imports.filter(({ kind, external }) => kind === "import-statement" && !external).map((one) => basename(one.path));

/** Whether nothing is left of a file but the import of one chunk, which can take its place. */
const emptied = (output) => chunksOf(output).length === 1 && Object.values(output.inputs).every(({ bytesInOutput }) => bytesInOutput === 0);

/** The name in OUT of what was made of a source, and of the chunks that it loads at once. */
function made({ metafile }, path) {
  const source = join(page, path);
  const [file, output] = Object.entries(metafile.outputs).find(([, one]) => one.entryPoint && resolve(one.entryPoint) === source);
  return emptied(output) ? { file: chunksOf(output)[0], chunks: [] } : { file: basename(file), chunks: chunksOf(output) };
}

for (const [source, name] of Object.entries(PAGES)) {
  let text = html[source];
  const way = text.includes('href="../page/') ? `../${BASE}` : BASE;
  const styles = await build({
    ...COMMON, outdir: out, entryNames: `${basename(name, ".html")}-[hash]`,
    stdin: { contents: named(text, STYLES).map((path) => `@import ${JSON.stringify(`./${path}`)};`).join("\n"), loader: "css", resolveDir: page },
  });
  const style = Object.keys(styles.metafile.outputs).map((file) => basename(file)).find((file) => file.endsWith(".css"));
  const chunks = new Set(named(text, MODULES).flatMap((path) => made(scripts, path).chunks));
  const preloads = [...chunks].map((file) => `<link rel="modulepreload" href="${way}${file}">\n`).join("");
  let first = true;
  text = text.replace(PRELOADS, "").replace(STYLES, () => {
    const link = first ? `<link rel="stylesheet" href="${way}${style}">\n` : "";
    first = false;
    return link;
  });
  text = text.replace(SCRIPTS, (_, path) => `<script src="${way}${made(plain, path).file}"></script>`);
  text = text.replace(MODULES, (_, path) => `${preloads}<script type="module" src="${way}${made(scripts, path).file}"></script>`);
  await writeFile(join(out, name), text);
}

for (const [file, output] of Object.entries(scripts.metafile.outputs)) if (emptied(output)) await rm(file);
for (const made of [lib, out]) {
  for (const file of await readdir(made)) {
    const content = await readFile(join(made, file));
    const quality = content.length > LARGE ? 9 : 11; // the best takes some seconds for a megabyte
    const options = { params: { [constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_SIZE_HINT]: content.length } };
    await writeFile(join(made, `${file}.br`), brotliCompressSync(content, options));
    await writeFile(join(made, `${file}.gz`), gzipSync(content, { level: 9 }));
  }
}
