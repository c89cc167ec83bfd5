// @ts-check
/** The page: wires its parts to the element. Each part is told of a new answer, and asks the server for its own. */

import { InklingClient, InklingError } from "../element/client.js";
import { h } from "../element/dom.js";
import { wordsFor } from "../element/words.js";
import "../element/inkling-digit.js";
import { setUpChange } from "./change.js";
import { part, patiently, said } from "./parts.js";
import { setUpCheck } from "./check.js";
import { setUpLanding } from "./landing.js";
import { setUpMaps } from "./side_by_side.js";
import { setUpSeen } from "./seen.js";
import { LABELS, sample } from "./samples.js";
import { reopen, setUpTake } from "./take.js";
import { WORDS } from "./words.js";

/** @typedef {import("../element/inkling-digit.d.ts").Explanation} Explanation */
/** @typedef {import("../element/inkling-digit.d.ts").InklingDigit} InklingDigit */

/** What the parts of the page share.
 * @typedef {object} Page
 * @property {InklingDigit} digit
 * @property {InklingClient} client
 * @property {() => import("./words.js").PageWords} words
 * @property {{models: string[], details: any[]}} models
 * @property {{methods: any[]}} methods
 * @property {() => import("../element/client.js").Options} question of the answer that is shown: model, target, versus, lang
 * @property {() => boolean} failed whether there is no answer for what is drawn
 */

/** A part of the page.
 * @typedef {object} Part
 * @property {() => void} translate
 * @property {(answer: Explanation | null) => void} update null: nothing is drawn, or it is being drawn
 */

const digit = /** @type {InklingDigit} */ (document.querySelector("inkling-digit"));
const client = new InklingClient(new URL("./", document.baseURI), () => digit.key);
const start = new URLSearchParams(location.search);
let { lang } = wordsFor(start.get("lang") ?? navigator.languages.join(","));
let failed = false;
const words = () => WORDS[lang];

function showSamples() {
  part("samples").setAttribute("aria-label", words().samples);
  const buttons = LABELS.map((label) => {
    const strokes = sample(label);
    const canvas = h("canvas", { width: "72", height: "72", "aria-hidden": "true" });
    const context = canvas.getContext("2d");
    if (context) {
      context.scale(72 / 280, 72 / 280);
      context.lineWidth = 22;
      context.lineCap = context.lineJoin = "round";
      context.strokeStyle = getComputedStyle(document.body).color;
      for (const { points } of strokes) {
        context.beginPath();
        for (const [x, y] of points) context.lineTo(x, y);
        context.stroke();
      }
    }
    const button = h("button", { type: "button", class: "sample", "aria-label": words().sample(label) }, canvas);
    button.addEventListener("click", () => (digit.strokes = strokes));
    return button;
  });
  part("samples").replaceChildren(h("span", { class: "quiet" }, words().samples), ...buttons);
}

/** @param {string[]} models @param {string} chosen */
function showNets(models, chosen) {
  part("nets-choice").setAttribute("aria-label", words().net);
  part("nets-choice").replaceChildren(h("span", { class: "quiet" }, words().net), ...models.map((name) => {
    const input = h("input", { type: "radio", name: "net", value: name });
    input.checked = name === (digit.getAttribute("model") ?? digit.prediction?.model.name ?? chosen);
    input.addEventListener("change", () => digit.setAttribute("model", name));
    return h("label", { class: "check" }, input, name.toUpperCase());
  }));
  part("nets-choice").hidden = models.length < 2;
}

function translate() {
  document.documentElement.lang = lang === "zh" ? "zh-Hans" : "en";
  digit.setAttribute("lang", lang);
  for (const element of document.querySelectorAll("[data-word]")) {
    const word = /** @type {any} */ (words())[element.getAttribute("data-word") ?? ""];
    if (typeof word === "string") element.textContent = word;
  }
  part("language").textContent = lang === "zh" ? "English" : "中文";
  part("language").lang = lang === "zh" ? "en" : "zh";
  showSamples();
}

/** Ask the server again and again with what is typed as a key, until it takes one.
 *  @template T @param {() => Promise<T>} ask @returns {Promise<T>} */
async function withKey(ask) {
  for (;;) {
    try {
      const answer = await ask();
      part("key").hidden = true;
      return answer;
    } catch (error) {
      if (!(error instanceof InklingError) || error.status !== 401) throw error;
      digit.key = await typedKey(digit.key !== null);
    }
  }
}

/** @param {boolean} again @returns {Promise<string>} */
function typedKey(again) {
  const form = part("key");
  const input = h("input", { type: "password", autocomplete: "off", required: "" });
  const wrong = again ? [h("p", { class: "error", role: "alert" }, words().keyWrong)] : [];
  form.replaceChildren(
    h("p", {}, words().key), ...wrong,
    h("div", { class: "row" }, h("label", {}, words().keyLabel, " ", input), h("button", {}, words().keyButton)));
  form.hidden = false;
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      resolve(input.value.trim());
    };
  });
}

async function begin() {
  translate();
  const [models, methods] = await withKey(() => patiently(() => Promise.all([client.get("v1/models"), client.get("v1/methods")])));
  if (start.has("model")) digit.setAttribute("model", start.get("model") ?? "");
  const chosen = models.models.includes("cnn") ? "cnn" : models.models[0];
  const question = () => {
    const { target, versus } = digit.question;
    return { model: digit.getAttribute("model"), target: target ?? digit.prediction?.prediction.class ?? null, versus, lang };
  };
  /** @type {Page} */
  const page = { digit, client, words, models, methods, question, failed: () => failed };
  for (const id of ["maps", "nets", "change", "take"]) part(id).hidden = false;
  const parts = [setUpSeen(page), setUpMaps(page), setUpCheck(page), setUpLanding(page), setUpChange(page), setUpTake(page)];
  showNets(models.models, chosen);
  part("language").addEventListener("click", () => {
    lang = lang === "zh" ? "en" : "zh";
    translate();
    showNets(models.models, chosen);
    for (const one of parts) one.translate();
    update();
  });
  const update = (/** @type {Event | void} */ event) => {
    failed = event?.type === "digit-error";
    for (const one of parts) one.update(digit.explanation);
  };
  for (const name of ["digit-explanation", "digit-change", "digit-error"]) digit.addEventListener(name, update);
  digit.addEventListener("digit-prediction", () => { // the server's default, where none was chosen
    const radio = document.querySelector(`input[name=net][value="${CSS.escape(digit.prediction?.model.name ?? "")}"]`);
    if (radio instanceof HTMLInputElement) radio.checked = true;
  });
  window.addEventListener("hashchange", () => reopen(digit, words().badLink));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showSamples);
  for (const one of parts) one.translate();
  update();
  reopen(digit, words().badLink);
}

begin().catch((error) => document.querySelector("main")?.prepend(said(error)));
