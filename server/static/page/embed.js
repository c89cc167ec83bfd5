// @ts-check
/** The element alone, for a frame: its attributes come from the address, and its height goes to the page around it. */

import { h } from "../element/dom.js";
import "../element/inkling-digit.js";
import { wordsFor } from "../element/words.js";

const ATTRIBUTES = ["model", "methods", "versus", "live", "lang"];

const given = new URLSearchParams(location.search);
const attributes = Object.fromEntries(ATTRIBUTES.filter((name) => given.has(name)).map((name) => [name, given.get(name) ?? ""]));
const digit = h("inkling-digit", attributes);
document.documentElement.lang = wordsFor(given.get("lang") ?? navigator.languages.join(",")).lang;
document.body.append(digit);

if (window.parent !== window) {
  const tell = (/** @type {object} */ message) => window.parent.postMessage(message, "*");
  new ResizeObserver(() => tell({ type: "inkling:height", height: document.documentElement.offsetHeight + 16 })).observe(document.body);
  for (const name of /** @type {const} */ (["digit-change", "digit-prediction", "digit-explanation", "digit-error"])) {
    digit.addEventListener(name, (/** @type {Event} */ event) => tell({ type: name, detail: /** @type {CustomEvent} */ (event).detail }));
  }
}
