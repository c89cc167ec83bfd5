// @ts-check
/** Ten digits to try, drawn for this page: each a list of lines through points of a paper of 280. */

/** @typedef {import("../element/ink.js").Stroke} Stroke */

/** @type {Record<string, [number, number][][]>} */
const LINES = {
  0: [[[150, 52], [104, 66], [82, 116], [84, 172], [108, 218], [148, 226], [186, 200], [200, 148], [192, 92], [166, 58], [140, 54]]],
  1: [[[112, 88], [148, 54], [144, 130], [138, 226]]],
  2: [[[88, 98], [104, 64], [146, 52], [184, 72], [184, 112], [152, 156], [92, 218], [136, 212], [202, 220]]],
  3: [[[92, 70], [136, 50], [180, 72], [172, 110], [132, 130], [182, 150], [192, 190], [156, 224], [104, 220], [84, 202]]],
  4: [[[120, 56], [98, 104], [84, 144], [134, 148], [202, 142]], [[176, 78], [168, 150], [160, 228]]],
  5: [[[190, 56], [108, 60], [100, 122], [146, 114], [186, 138], [188, 184], [152, 222], [104, 220], [84, 202]]],
  6: [[[172, 52], [122, 92], [92, 150], [96, 200], [134, 226], [178, 206], [182, 168], [150, 146], [112, 160], [98, 184]]],
  7: [[[82, 66], [130, 62], [200, 60], [176, 112], [150, 164], [132, 228]]],
  8: [[[178, 76], [142, 52], [106, 72], [114, 110], [162, 144], [188, 184], [162, 222], [114, 220], [94, 186], [122, 148], [166, 114], [182, 84]]],
  9: [[[180, 84], [142, 58], [100, 78], [96, 120], [130, 142], [170, 122], [184, 86], [180, 150], [162, 228]]],
};

export const LABELS = Object.keys(LINES);

/** @param {string} label @returns {Stroke[]} */
export function sample(label) {
  return (LINES[label] ?? []).map((line) => ({ points: curve(line), size: 20, erases: false, pressed: false }));
}

/** Points along the curve through others (Catmull and Rom 1974). @param {[number, number][]} line
 *  @returns {[number, number, number][]} */
function curve(line) {
  /** @type {[number, number, number][]} */
  const points = [];
  const at = (/** @type {number} */ place) => line[Math.min(line.length - 1, Math.max(0, place))] ?? [0, 0];
  for (let place = 0; place < line.length - 1; place += 1) {
    const [a, b, c, d] = [at(place - 1), at(place), at(place + 1), at(place + 2)];
    for (let step = 0; step < 8; step += 1) {
      const t = step / 8;
      const mix = (/** @type {0 | 1} */ axis) =>
        0.5 * (2 * b[axis] + (c[axis] - a[axis]) * t + (2 * a[axis] - 5 * b[axis] + 4 * c[axis] - d[axis]) * t * t +
          (3 * b[axis] - a[axis] - 3 * c[axis] + d[axis]) * t ** 3);
      points.push([mix(0), mix(1), 0.5]);
    }
  }
  return [...points, [...at(line.length - 1), 0.5]];
}
