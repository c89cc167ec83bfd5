// @ts-check
/** The colours of a map, the same as in the server's pictures (server/render/colours.py), and the painting of its cells.
 *
 * A level is a value as a part of the scale's limit, from -1 to 1.
 *
 * @typedef {import("./inkling-digit.d.ts").Attribution} Attribution
 * @typedef {[number, number, number]} Triple
 */

/** Anchors in CIELAB. @type {Triple[]} */
const FOR = [[76, 26, 34], [60, 53, 50], [42, 60, 46]];
/** @type {Triple[]} */
const AGAINST = [[76, -12, -28], [60, -4, -46], [42, 18, -62]];
/** @type {Triple[]} */
const STRENGTH = [[84, 0, 0], [50, 0, 0], [16, 0, 0]];
const OPACITY = 0.9;
const PERCENTILE = 0.99;
const OUTLIER = 1.25;

/** What is painted, as in the server's pictures: each pixel's value, or that of its segment.
 *  @param {Attribution} attribution */
export function painted(attribution) {
  const { values, segments, segment_values: perSegment } = attribution;
  if (attribution.painted === "values" || !segments || !perSegment) return values;
  return segments.map((row) => row.map((segment) => perSegment[segment] ?? 0));
}

/** The value of level 1: the largest strength, unless that is an outlier. 0 where all are 0.
 *  @param {readonly (readonly number[])[]} values @param {boolean} signed */
export function limitOf(values, signed) {
  const strengths = values.flat().map((value) => (signed ? Math.abs(value) : value));
  const present = [...new Set(strengths.filter((strength) => strength > 0))].sort((a, b) => a - b);
  const largest = present.at(-1);
  if (largest === undefined) return 0;
  const usual = present[Math.ceil(PERCENTILE * (present.length - 1))] ?? largest;
  return largest > OUTLIER * usual ? usual : largest;
}

/** Colour in 0 to 255, and opacity in 0 to 1. @param {number} level @param {boolean} signed
 *  @returns {[red: number, green: number, blue: number, opacity: number]} */
export function heat(level, signed) {
  const strength = Math.min(1, signed ? Math.abs(level) : Math.max(0, level));
  const lab = along(signed ? (level < 0 ? AGAINST : FOR) : STRENGTH, strength);
  const [red, green, blue] = srgb(lab);
  return [red, green, blue, OPACITY * strength * (2 - strength)];
}

/** The cells as a picture of one pixel each, transparent where they are weaker than `threshold`.
 *  @param {readonly (readonly number[])[]} values @param {number} limit @param {boolean} signed @param {number} threshold */
export function cells(values, limit, signed, threshold = 0) {
  const height = values.length;
  const width = values[0]?.length ?? 0;
  const image = new ImageData(width, height);
  values.flat().forEach((value, place) => {
    const level = limit === 0 ? 0 : value / limit;
    if (Math.abs(level) < threshold) return;
    const [red, green, blue, opacity] = heat(level, signed);
    image.data.set([red, green, blue, opacity * 255], place * 4);
  });
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

/** @param {Triple[]} anchors @param {number} strength @returns {Triple} */
function along(anchors, strength) {
  const place = strength * (anchors.length - 1);
  const before = Math.min(anchors.length - 2, Math.floor(place));
  const [from, to] = [anchors[before], anchors[before + 1]];
  if (!from || !to) throw new RangeError("a scale has two anchors at least");
  const mix = (/** @type {0 | 1 | 2} */ channel) => from[channel] + (place - before) * (to[channel] - from[channel]);
  return [mix(0), mix(1), mix(2)];
}

/** CIELAB to sRGB in 0 to 255 (IEC 61966-2-1). @param {Triple} lab @returns {Triple} */
function srgb([lightness, a, b]) {
  const y = (lightness + 16) / 116;
  const cube = (/** @type {number} */ root) => (root > 6 / 29 ? root ** 3 : 3 * (6 / 29) ** 2 * (root - 4 / 29));
  const [X, Y, Z] = [0.9505 * cube(y + a / 500), cube(y), 1.089 * cube(y - b / 200)];
  return [
    companded(3.2406 * X - 1.5372 * Y - 0.4986 * Z),
    companded(-0.9689 * X + 1.8758 * Y + 0.0415 * Z),
    companded(0.0557 * X - 0.204 * Y + 1.057 * Z),
  ];
}

/** @param {number} linear */
function companded(linear) {
  const clipped = Math.min(1, Math.max(0, linear));
  return 255 * (clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055);
}
