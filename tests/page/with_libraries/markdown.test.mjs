/**
 * Answers as HTML, with the libraries that the page has: `PAGE` is the folder of a page with `lib`.
 *
 * What a browser shows of it is tested in the stories; what hostile texts can do, in `tests/browser/test_inert.py`.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

const load = (name) => import(new URL(name, `${pathToFileURL(process.env.PAGE)}/`));
const { MarkdownIt, cjkFriendly } = await load("lib/markdown.js");
const { default: hljs } = await load("lib/colours.js");
const { default: temml } = await load("lib/formulas.js");
const { AnswerBlocks } = await load("answer/markdown/answer_blocks.js");
const { Markdown } = await load("answer/markdown/markdown.js");
const { pieces } = await load("answer/markdown/code.js");

// Colouring that is slow once is given up, by this clock: not here, where a busy machine would be it.
Object.defineProperty(performance, "now", { value: () => 0 });
const markdown = new Markdown({ MarkdownIt, cjkFriendly, hljs, temml });

/** Reads a text that comes in pieces of `size`. Returns {html, blocks, reading}. */
function read(text, size = Infinity, references = {}) {
  const reading = new AnswerBlocks(markdown, references);
  const blocks = [];
  for (let at = 0; reading.source.length < text.length;) {
    at = Math.min(text.length, Math.max(at, reading.source.length) + size);
    blocks.push(...reading.step(text.slice(0, at), { last: at === text.length }));
  }
  return { html: blocks.join(""), blocks, reading };
}

/** What is shown of the open end of a text. */
function openEnd(text) {
  const reading = new AnswerBlocks(markdown);
  reading.step(text);
  return reading.openEnd;
}

const inLine = (html) => html.replace(/^<p>|<\/p>\n$/g, "");
const words = (html) => html.replace(/<[^>]*>/g, "");

const SHOWN = {
  "**a** *b* `c` ~~d~~": "<strong>a</strong> <em>b</em> <code>c</code> <s>d</s>",
  "H~2~O and x^2^": "H<sub>2</sub>O and x<sup>2</sup>",
  "~~a~~b~~c~~": "<s>a</s>b<s>c</s>",
  "2 ^ 3 ~ 4 ^ 5": "2 ^ 3 ~ 4 ^ 5",
  "[a](https://example.org/b)": '<a href="https://example.org/b">a</a>',
  "[a](javascript:alert(1))": "[a](javascript:alert(1))",
  "see https://example.org/a。And": 'see <a href="https://example.org/a">https://example.org/a</a>。And',
  "main.py and setup.sh": "main.py and setup.sh",
  "<b>bold</b> <script>x</script>": "<strong>bold</strong> &lt;script&gt;x&lt;/script&gt;",
  "<b onclick=x>bold</b> <b><i>a</i></b>": "&lt;b onclick=x&gt;bold&lt;/b&gt; &lt;b&gt;<em>a</em>&lt;/b&gt;",
  "H<sub>2</sub>O <kbd>Ctrl</kbd> <u>a < b</u>": "H<sub>2</sub>O <code>Ctrl</code> &lt;u&gt;a &lt; b&lt;/u&gt;",
  "one<br>two<br/>three": "one<br />\ntwo<br />\nthree",
  "`<b>x</b> <br>a :x: **a:**b`": "<code>&lt;b&gt;x&lt;/b&gt; &lt;br&gt;a :x: **a:**b</code>",
  "**Note:**see": "<strong>Note:</strong>see",
  'a**(b)**c and **"d"**e': 'a<strong>(b)</strong>c and <strong>&quot;d&quot;</strong>e',
  "2 ** 3 ** 4 and f(**a, **b)": "2 ** 3 ** 4 and f(**a, **b)",
  "<details><summary>More</summary>Hidden</details>": "<strong>More</strong><br />\nHidden",
  "<think>a</think>Answer": "a<br />\nAnswer",
  "</think>\nAnswer<|im_end|>": "\nAnswer",
  ":white_check_mark: :nobody: 10:30:45 a:x:b": "✅ :nobody: 10:30:45 a:x:b",
  "• a\n• b\n✅ c\nd": "• a<br />\n• b<br />\n✅ c\nd",
  "Text\n3. a\n4. b": "Text<br />\n3. a<br />\n4. b",
  "##Two": "<h2>Two</h2>\n",
  "#Title": "<h1>Title</h1>\n",
  "#hashtag and #42": "#hashtag and #42",
  "a\n##Two": "a</p>\n<h2>Two</h2>\n",
  "#!/bin/sh": "#!/bin/sh",
  "> [!NOTE]\n> Useful": "<blockquote>\n<p><strong>Note</strong><br />\nUseful</p>\n</blockquote>\n",
  "a <br> b": "a &lt;br&gt; b",
  "![a](https://example.org/a.png)": '<a href="https://example.org/a.png" class="image">a</a>',
  "![a](//example.org/a.png)": '<a href="//example.org/a.png" class="image">a</a>',
  "![a](/page/icon.svg)": '<img src="/page/icon.svg" alt="a" />',
  "![](/api/files/f)": '<a href="/api/files/f" class="image">/api/files/f</a>',
  "a[^1] b[^x]": 'a<sup class="footnote"><a href="#note-1">1</a></sup> b[^x]',
  "$5 and $10": "$5 and $10",
  "costs $5, not $10 or 5$": "costs $5, not $10 or 5$",
  "a line\nand another": "a line\nand another",
};
for (const [text, html] of Object.entries(SHOWN)) {
  test(`${JSON.stringify(text)} as HTML`, () => assert.equal(inLine(read(text).html), html));
}

test("a pipe in code divides no cell, unless the row has its cells only so", () => {
  const row = (text) => words(read(`| a | b |\n|---|---|\n${text}\n`).html).split("\n").filter(Boolean).slice(2);
  assert.deepEqual(row("| `x|y` | z |"), ["x|y", "z"]);
  assert.deepEqual(row("`x||y` | `a|b`"), ["x||y", "a|b"]);
  assert.deepEqual(row("| `x \\| y` | z |"), ["x | y", "z"]);
  assert.deepEqual(row("| ` | ` |"), ["`", "`"]);
});

test("what models write beside Markdown is read alike in whatever pieces it comes", () => {
  for (const [text, html] of Object.entries(SHOWN)) for (const size of [1, 5]) assert.equal(inLine(read(text, size).html), html, text);
});

test("formulas are MathML, which nothing but their LaTeX makes", () => {
  for (const text of ["\\(a^2\\)", "$a^2$", "$$a^2$$", "\\[a^2\\]", "```math\na^2\n```"]) assert.match(read(text).html, /<math[^>]*><msup><mi>a<\/mi>/, text);
  assert.match(read("So:\n\\begin{align*}a &= b \\\\\nc &= d\\end{align*}").html, /^<p>So:\n<math[^>]*><mtable/);
  assert.equal(words(read("\\begin{document} a").html), "\\begin{document} a\n");
  assert.equal(words(read("$\\$0.60$").html), "$0.60\n");
  for (const text of ["\\(\\href{javascript:alert(1)}{x}\\)", "\\(\\def\\a{\\a\\a}\\a\\)", "$\\frac{$", `$a${"{".repeat(3_000)}$`]) {
    assert.doesNotMatch(read(text).html, /<math| href=/, text);
  }
  assert.doesNotMatch(read("$\\begin{aligned}a&=b\\end{aligned}$ \\(\\color{red}x\\)").html, / style=/);
});

test("a bare br breaks the line of a cell, and is text in code and elsewhere", () => {
  const { html } = read("| a<br>b | `<br>` |\n|-|-:|\n| c<br/>d<BR />e | <br>[f](/g) |\n");
  assert.match(html, /<th>a<br \/>\nb<\/th>\n<th align="right"><code>&lt;br&gt;<\/code>/);
  assert.match(html, /<td>c<br \/>\nd<br \/>\ne<\/td>\n<td align="right"><br \/>\n<a href="\/g">f<\/a>/);
});

test("emphasis beside punctuation of Chinese, Japanese and Korean is emphasis, in pieces too", () => {
  const bold = ["**重点：**内容很重要。", "这是**「引用」**的内容。", "请**注意。**然后继续", "これは**「重要」**です。", "**결론：**입니다"];
  for (const text of bold) for (const size of [1, 3, Infinity]) assert.match(read(text, size).html, /<strong>[^*]+<\/strong>[^*]*<\/p>/, text);
  assert.match(read("文字*斜体。*文字").html, /<em>斜体。<\/em>/);
  assert.equal(read("2 ** 3 ** 4 and a_b_c and 5 * 6 * 7").html.trim(), "<p>2 ** 3 ** 4 and a_b_c and 5 * 6 * 7</p>");
});

test("tasks are marks, and lists stay lists", () => {
  const { html } = read("- [x] done\n- [ ] *not*\n- [x]\n");
  assert.match(html, /<li class="task"><span class="task done">☑<\/span> done/);
  assert.match(html, /<li class="task"><span class="task">☐<\/span> <em>not/);
  assert.match(html, /<li>\[x\]/);
});

test("code names its language, and only its words have classes", () => {
  assert.match(read("```python\nx = 'a'  # <b>\n```").html, /<span class="language">Python<\/span><pre><code>x = <span class="hljs-string">&#x27;a&#x27;<\/span>/);
  assert.equal(read("```unheard\n<a>\n```").html, '<div class="highlight"><span class="language">unheard</span><pre><code>&lt;a&gt;\n</code></pre></div>\n');
  assert.match(read("```constructor\na\n```").html, /<span class="language">constructor<\/span>/);
  assert.equal(read("    <a>\n").html, '<div class="highlight"><pre><code>&lt;a&gt;\n</code></pre></div>\n');
});

const DOCUMENTS = {
  mixed: "# Title\n\nSome **bold** text,\r\nin two lines.\r\n\r\n- [x] one\n- two\n\n  more of it\n\n1. a\n2. b\n\n> quoted\n> `code`\n\n| a | b |\n|-|-|\n| 1 | 2 |\n\n---\n\nEnd[^1].\n\n[^1]: Note.\n",
  fences: `${"```js\nconst a = `x\n"}${"  ${b} // c\n".repeat(200)}${"`;\n```\n\n~~~\nplain\n```\n~~~\nAfter.\n"}`,
  table: `| # | text |\n|-:|-|\n${Array.from({ length: 300 }, (_, index) => `| ${index + 1} | row *${index}* |\n`).join("")}\nAfter.\n`,
  list: `${Array.from({ length: 300 }, (_, index) => `${index + 1}. item **${index}**\n${index % 7 === 0 ? "     - below\n" : ""}`).join("")}\nAfter.\n`,
  formulas: "\\[\na^2 +\nb^2\n\\]\n\n$$x$$\n\n$$\nopen\n\nnot any more\n",
  references: "[a]: https://example.org/a\n\nSee [a] and [b].\n\nMore.\n",
  unfinished: "A **bold `code [link](https://exam",
};
for (const [name, text] of Object.entries(DOCUMENTS)) {
  test(`blocks depend on the text alone: ${name}`, () => {
    const whole = read(text);
    for (const size of [1, 3, 17, 1_000]) assert.equal(read(text, size).html, whole.html, `in pieces of ${size}`);
    assert.ok(whole.reading.exact);
  });
}

test("what is closed never changes, and of a long block only its end is open", () => {
  for (const name of ["fences", "table", "list"]) {
    const reading = new AnswerBlocks(markdown);
    const text = DOCUMENTS[name];
    let longest = 0;
    for (let at = 1; at <= text.length; at += 40) {
      while (reading.source.length < at) reading.step(text.slice(0, at));
      longest = Math.max(longest, reading.openEnd.length);
    }
    assert.ok(longest < 30_000, `${name}: ${longest}`);
  }
  const { blocks } = read(DOCUMENTS.table);
  assert.ok(blocks.length >= 4);
  assert.match(blocks[1], /^<table class="continued">\n<thead>/);
  assert.match(read(DOCUMENTS.list).blocks[1], /^<ol class="continued" start="81">|^<ol start="81" class="continued">/);
});

test("a comment that is open at the end of a piece of code goes on in the next", () => {
  const { html } = read(`\`\`\`js\n${"f();\n".repeat(78)}/* one\ntwo\nthree */\n\`\`\`\n`);
  assert.match(html, /<div class="highlight continued"><pre><code><span class="hljs-comment">three \*\/<\/span>/);
});

test("pieces of code are the code", () => {
  const code = Array.from({ length: 500 }, (_, index) => `line ${index}\n`).join("");
  assert.equal(pieces(code).map(({ text }) => text).join(""), code);
  assert.ok(pieces(code).every(({ text }) => text.split("\n").length <= 81));
});

test("a link that is defined below its use is shown when all is read again", () => {
  const text = "See [a].\n\nMore.\n\n[a]: https://example.org/a\n";
  const { html, reading } = read(text);
  assert.match(html, /See \[a\]/);
  assert.equal(reading.exact, false);
  const again = read(text, Infinity, reading.references);
  assert.match(again.html, /See <a href="https:\/\/example.org\/a">a<\/a>/);
  assert.ok(again.reading.exact);
});

const OPEN = {
  "**bol": "<strong>bol</strong>",
  "*a **b": "<em>a <strong>b</strong></em>",
  "~~gone": "<s>gone</s>",
  "`cod": "<code>cod</code>",
  "[text](https://exa": "text",
  "![alt](/a": "alt",
  "a \\(x^2": "a",
  "a $x^2": "a",
  "costs $5": "costs $5",
  "snake_case 2 * 3": "snake_case 2 * 3",
  "a &am": "a",
  "<https://exa": "https://exa",
  "a [^1": "a",
};
for (const [text, html] of Object.entries(OPEN)) {
  test(`the open end ${JSON.stringify(text)}`, () => assert.equal(words(inLine(openEnd(text))), words(html)));
}

test("an open end never shows a mark that will be markup", () => {
  for (const text of ["- ", "1.", "#", "## ", "> ", "---", "| a | b", "```py", "- [x", "[a]: htt", "$$", "\\["]) assert.equal(openEnd(text).trim(), "", text);
  assert.match(openEnd("| a | b |\n"), /<th>a<\/th>\n<th>b<\/th>/);
  assert.match(openEnd("```py\nx = 1\n``"), /x = <span class="hljs-number">1<\/span>\n<\/code>/);
  assert.match(openEnd("Text\n\n- a\n- **b"), /<li><strong>b<\/strong><\/li>/);
});

/** Texts on which parsers of Markdown are slow. */
const HOSTILE = {
  brackets: "[".repeat(10_000), links: "[a](b".repeat(3_000), quotes: `${">".repeat(1_000)}a`, stars: "*a_".repeat(4_000),
  ticks: Array.from({ length: 200 }, (_, index) => "`".repeat(index)).join(" "), line: "word ".repeat(200_000), entities: "&".repeat(20_000),
  nested: Array.from({ length: 300 }, (_, index) => `${"  ".repeat(index)}- a\n`).join(""), dollars: "$a ".repeat(10_000),
  definitions: "[a]: b\n".repeat(4_000), bars: `${"|".repeat(20_000)}\n${"|-".repeat(10_000)}`, footnotes: "[^1]".repeat(2_000),
  table: `|a|b|\n|-|-|\n${"|1|2|\n".repeat(8_000)}`, markers: "- - - - ".repeat(2_000), escapes: "\\[".repeat(8_000), html: "<x ".repeat(8_000),
  emphasis: `a${"**a".repeat(4_000)}`, formula: `$$\n${"{".repeat(1_900)}\n$$\n`, carets: "^a~".repeat(5_000), schemes: "http:".repeat(5_000),
};
const STEP_MS = 50; // of processor time; the best of some readings, as a machine may be slow now and then
for (const [name, text] of Object.entries(HOSTILE)) {
  test(`a hostile text holds the page for no longer than ${STEP_MS} ms at once: ${name}`, () => {
    const best = Math.min(...[1, 2, 3].map(() => longestStep(text)));
    assert.ok(best < STEP_MS, `${best} ms`);
  });
}

function longestStep(text) {
  const reading = new AnswerBlocks(markdown);
  let longest = 0;
  const timed = (work) => {
    const began = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(began);
    longest = Math.max(longest, (user + system) / 1_000);
  };
  while (reading.source.length < text.length) {
    timed(() => reading.step(text));
    timed(() => reading.openEnd);
  }
  timed(() => reading.step(text, { last: true }));
  return longest;
}
