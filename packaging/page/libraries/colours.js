/** highlight.js with the languages that answers are written in. Others are in `more_colours.js`, loaded on demand. */

import hljs from "highlight.js/lib/common";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import haskell from "highlight.js/lib/languages/haskell";
import http from "highlight.js/lib/languages/http";
import julia from "highlight.js/lib/languages/julia";
import latex from "highlight.js/lib/languages/latex";
import nginx from "highlight.js/lib/languages/nginx";
import powershell from "highlight.js/lib/languages/powershell";
import protobuf from "highlight.js/lib/languages/protobuf";
import scala from "highlight.js/lib/languages/scala";

const more = { dockerfile, haskell, http, julia, latex, nginx, powershell, protobuf, scala };
for (const [name, language] of Object.entries(more)) hljs.registerLanguage(name, language);

export default hljs;
