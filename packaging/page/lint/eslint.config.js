/** ESLint over the scripts of the pages and their tests: faults alone, as the form is for people to judge. */

import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["**/bundle/**", "**/page/lib/**", "**/node_modules/**"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrors: "none", ignoreRestSiblings: true }],
      eqeqeq: "error", "no-var": "error", "prefer-const": ["error", { destructuring: "all" }],
      "no-implied-eval": "error", "no-new-func": "error", "no-script-url": "error", "no-shadow-restricted-names": "error", "no-self-compare": "error",
      "no-template-curly-in-string": "error", "no-unmodified-loop-condition": "error", "no-useless-rename": "error", "array-callback-return": "error",
      "no-control-regex": "off", "no-misleading-character-class": "off",
    },
  },
  { files: ["understudy/page/worker/**"], languageOptions: { sourceType: "script", globals: globals.serviceworker } },
  { files: ["understudy/page/frame/first_paint.js"], languageOptions: { sourceType: "script" } },
  {
    files: ["tests/**", "packaging/**"], languageOptions: { globals: { ...globals.browser, ...globals.node } },
    rules: { "no-template-curly-in-string": "off", "no-script-url": "off" }, // what a model may write
  },
];
