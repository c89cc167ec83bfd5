// @ts-check
/** What all parts of the page use. */

import { InklingError, passes } from "../element/client.js";
import { h } from "../element/dom.js";
import { explained, wordsFor } from "../element/words.js";

/** @param {string} id */
export function part(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no ${id}`);
  return found;
}

/** What an error is, for people. @param {unknown} error */
export function said(error) {
  const { words } = wordsFor(document.documentElement.lang);
  return h("p", { class: "error", role: "alert" }, error instanceof InklingError ? explained(error, words) : String(error));
}

/** What asks for an explanation like this one: its method, and the options that are not the method's defaults.
 *  @param {import("../element/inkling-digit.d.ts").Explanation["explanation"]} explanation @param {{methods: any[]}} methods
 *  @returns {import("../element/client.js").Options} */
export function configuration({ method, options }, { methods }) {
  const known = methods.find(({ name }) => name === method)?.options ?? [];
  const usual = Object.fromEntries(known.map((/** @type {any} */ one) => [one.name, one.default]));
  const chosen = Object.entries(options).filter(([name, value]) => value !== usual[name]);
  return { method, .../** @type {import("../element/client.js").Options} */ (Object.fromEntries(chosen)) };
}

const TRIES = 3;
const AGAIN = 2; // seconds until the next try where the server does not say
const LONGEST = 10; // seconds that are waited for in silence

/** Ask again where the server is busy for a while. @template T @param {() => Promise<T>} ask @param {AbortSignal} [signal] */
export async function patiently(ask, signal) {
  for (let left = TRIES - 1; ; left -= 1) {
    try {
      return await ask();
    } catch (error) {
      const wait = passes(error) ? (error.retryAfter ?? AGAIN) : Infinity;
      if (left === 0 || wait > LONGEST) throw error;
      await new Promise((done) => setTimeout(done, wait * 1000));
      signal?.throwIfAborted();
    }
  }
}

/** Ask about what is drawn when a button is pressed: a new press, or the function that this returns, ends the asking
 *  before, and an error stands in the outcome.
 *  @param {import("./page.js").Page} page @param {HTMLElement} button @param {HTMLElement} outcome
 *  @param {(file: Blob, signal: AbortSignal) => Promise<void>} ask */
export function onDemand({ digit, words }, button, outcome, ask) {
  let asking = new AbortController();
  button.addEventListener("click", async () => {
    asking.abort();
    const { signal } = (asking = new AbortController());
    const file = await digit.toBlob();
    if (file === null || signal.aborted) return;
    outcome.replaceChildren(h("p", { class: "quiet" }, words().wait));
    try {
      await ask(file, signal);
    } catch (error) {
      if (!signal.aborted) outcome.replaceChildren(said(error));
    }
  });
  return () => asking.abort();
}
