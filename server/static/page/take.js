// @ts-check
/** Section 5: files, a report on paper, the same call as code, and a link that opens the drawing again. */

import { percent } from "../element/bars.js";
import { h } from "../element/dom.js";
import { certificate } from "./maps.js";
import { configuration, part, said } from "./parts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Part} Part */
/** @typedef {import("../element/inkling-digit.d.ts").Explanation} Explanation */
/** @typedef {import("../element/inkling-digit.d.ts").InklingDigit} InklingDigit */
/** @typedef {import("../element/ink.js").Stroke} Stroke */

const HASH = "#ink="; // of a link; what follows never reaches a server
const LONGEST = 12000; // letters of a drawing in a link that others will carry
const FARTHEST = 10000; // of a point, in units of the paper: a stroke may leave it
const LANGUAGES = ["curl", "Python", "JavaScript"];

/** @param {Page} page @returns {Part} */
export function setUpTake({ digit, client, words, methods, question }) {
  const own = h("button", { type: "button" });
  const png = h("button", { type: "button" });
  const json = h("button", { type: "button" });
  const print = h("button", { type: "button" });
  const link = h("button", { type: "button" });
  const copy = h("button", { type: "button" });
  const note = h("span", { class: "quiet", role: "status" });
  const code = h("code");
  const problem = h("div");
  const intro = h("p", { class: "quiet" });
  const tabs = LANGUAGES.map((one) => h("button", { type: "button", role: "tab", "aria-controls": "call" }, one));
  const panel = h("pre", { id: "call", role: "tabpanel", tabindex: "0" }, code);
  let language = LANGUAGES[0];
  /** @type {Explanation | null} */
  let latest = null;

  own.addEventListener("click", () => tell(async () => {
    const file = await digit.toBlob();
    if (file) save(file, "digit.png");
  }));
  json.addEventListener("click", () => {
    save(new Blob([JSON.stringify(latest, null, 1)], { type: "application/json" }), `${latest?.id}.json`);
  });
  png.addEventListener("click", () => tell(async () => {
    const id = latest?.id;
    save(await picture(), `${id}.png`);
  }));
  print.addEventListener("click", () => tell(async () => {
    await report();
    window.print();
  }));
  link.addEventListener("click", () => copied(address(digit.strokes)));
  copy.addEventListener("click", () => copied(code.textContent ?? ""));
  tabs.forEach((tab, place) => {
    tab.addEventListener("click", () => choose(place));
    tab.addEventListener("keydown", (event) => {
      const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: -1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      choose((next + tabs.length) % tabs.length);
      tabs.find((one) => one.getAttribute("aria-selected") === "true")?.focus();
    });
  });

  /** @param {() => Promise<void>} act something that can fail, which is then told */
  async function tell(act) {
    problem.replaceChildren();
    await act().catch((error) => problem.replaceChildren(said(error)));
  }

  /** @param {number} place */
  function choose(place) {
    language = LANGUAGES[place];
    showCode();
  }

  /** The heatmap as the server draws it. @returns {Promise<Blob>} */
  async function picture() {
    const file = await digit.toBlob();
    const options = { ...asked(), format: "png" };
    return client.picture("v1/explain", /** @type {Blob} */ (file), options);
  }

  function asked() {
    const { model, target, versus, lang } = question();
    const chosen = latest === null ? {} : configuration(latest.explanation, methods);
    return { model: latest?.model.name ?? model, ...chosen, target, versus, lang };
  }

  /** @param {string} text */
  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      note.textContent = words().copied;
      setTimeout(() => (note.textContent = ""), 2000);
    } catch { // not allowed, or there is none, as on a page without HTTPS
      const field = h("input", { class: "copied", readonly: "", value: text, "aria-label": words().copyHere });
      problem.replaceChildren(h("p", {}, words().copyHere), field);
      field.select();
    }
  }

  async function report() {
    const answer = latest;
    if (answer === null) return;
    const { reportRows: names } = words();
    const image = h("img", { alt: answer.alt, src: URL.createObjectURL(await picture()) });
    await new Promise((resolve, reject) => { // decode() would wait for a frame to be drawn
      image.onload = resolve;
      image.onerror = () => reject(new Error("the map cannot be shown"));
    });
    URL.revokeObjectURL(image.src);
    const { prediction, explanation, model } = answer;
    const rows = [
      [names.date, new Date().toLocaleString(document.documentElement.lang)],
      [names.answer, `${prediction.label} (${percent(prediction.probability)})`],
      [names.why, answer.alt],
      [names.method, explanation.method],
      [names.certificate, certificate(answer, words()).join(" ")],
      [names.net, `${model.name} ${model.version}`],
      [names.digest, model.digest],
      [names.seed, `${explanation.seed} ${JSON.stringify(explanation.options)}`],
      [names.id, answer.id],
      [names.again, call("curl")],
    ];
    const cells = rows.map(([name, value]) => h("tr", {}, h("th", {}, name ?? ""), h("td", {}, value ?? "")));
    part("report").replaceChildren(h("h1", {}, words().report), image, h("table", {}, ...cells));
  }

  /** @param {string} kind */
  function call(kind) {
    const url = String(client.address("v1/explain", asked()));
    if (kind === "curl") return `curl --data-binary @digit.png '${url}'`;
    if (kind === "Python") {
      return ["import json", "from urllib.request import urlopen", "", `url = ${JSON.stringify(url)}`,
        'with open("digit.png", "rb") as picture:', "    answer = json.load(urlopen(url, picture.read()))",
        'print(answer["prediction"], answer["alt"])'].join("\n");
    }
    return [`const url = ${JSON.stringify(url)};`, 'const answer = await (await fetch(url, { method: "POST", body: picture })).json();',
      "console.log(answer.prediction, answer.alt); // picture: a Blob or File"].join("\n");
  }

  function showCode() {
    tabs.forEach((tab, place) => {
      const isChosen = LANGUAGES[place] === language;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
    });
    panel.setAttribute("aria-label", language ?? "");
    code.textContent = call(language ?? "");
  }

  return {
    translate() {
      [own.textContent, png.textContent, json.textContent, print.textContent, link.textContent, copy.textContent] =
        [words().save, words().png, words().json, words().print, words().link, words().copy];
      intro.textContent = words().saveAs;
      part("files").replaceChildren(own, png, json, print, link, note, problem);
      part("code").replaceChildren(
        intro, h("div", { class: "row" }, h("div", { class: "tabs", role: "tablist" }, ...tabs), copy), panel);
    },
    update(answer) {
      latest = answer;
      problem.replaceChildren();
      part("report").replaceChildren(); // it is of another answer
      own.disabled = digit.empty;
      for (const one of [png, json, print]) one.disabled = answer === null;
      const tooLong = digit.picture === null && packed(digit.strokes).length > LONGEST;
      link.disabled = digit.empty || digit.picture !== null || tooLong;
      note.textContent = digit.picture ? words().noLink : tooLong ? words().longLink : "";
      showCode();
    },
  };
}

/** Draw what the address of the page holds. @param {InklingDigit} digit @param {string} damaged said of a link that is */
export function reopen(digit, damaged) {
  part("damaged").textContent = "";
  if (!location.hash.startsWith(HASH)) return;
  try {
    digit.strokes = unpacked(location.hash.slice(HASH.length));
  } catch {
    part("damaged").textContent = damaged;
    history.replaceState(null, "", location.pathname + location.search);
  }
}

/** @param {readonly Stroke[]} strokes */
function address(strokes) {
  return `${location.origin}${location.pathname}${location.search}${HASH}${packed(strokes)}`;
}

/** Strokes as letters that addresses may hold: size, eraser, then points in whole units and pressures in tenths.
 *  @param {readonly Stroke[]} strokes */
function packed(strokes) {
  return strokes.map(({ points, size, erases, pressed }) => {
    const numbers = points.flatMap(([x, y, pressure]) => [Math.round(x), Math.round(y), ...(pressed ? [Math.round(pressure * 10)] : [])]);
    return [size, (erases ? 1 : 0) + (pressed ? 2 : 0), ...numbers].map((one) => one.toString(36)).join(".");
  }).join("~");
}

/** @param {string} text @returns {Stroke[]} */
function unpacked(text) {
  if (text.length > LONGEST) throw new RangeError("longer than any that was made here");
  return text.split("~").map((one) => {
    const [size = 20, flags = 0, ...numbers] = one.split(".").map((digits) => parseInt(digits, 36));
    if (numbers.length < 2 || ![size, flags, ...numbers].every((one) => Math.abs(one) <= FARTHEST)) throw new RangeError("no strokes");
    const pressed = flags >= 2;
    const step = pressed ? 3 : 2;
    /** @type {[number, number, number][]} */
    const points = [];
    for (let place = 0; place + step <= numbers.length; place += step) {
      points.push([numbers[place] ?? 0, numbers[place + 1] ?? 0, pressed ? (numbers[place + 2] ?? 5) / 10 : 0.5]);
    }
    return { points, size: Math.min(60, Math.max(2, size)), erases: flags % 2 === 1, pressed };
  });
}

/** @param {Blob} file @param {string} name */
function save(file, name) {
  const anchor = h("a", { href: URL.createObjectURL(file), download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
}
