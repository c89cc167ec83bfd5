// @ts-check
/** What all parts of the page use. */

import { InklingError } from "../element/client.js";
import { h } from "../element/dom.js";

/** @param {string} id */
export function part(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no ${id}`);
  return found;
}

/** What an error is, for people. @param {unknown} error */
export function said(error) {
  return h("p", { class: "error", role: "alert" }, error instanceof InklingError ? error.message : String(error));
}
