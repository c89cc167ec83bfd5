// @ts-check
/** All words of the element, in English and Chinese. A function makes those that hold a number or a name. */

const en = {
  pad: "Drawing pad",
  padHelp: "Draw a digit. With the keyboard: arrow keys move, space inks, delete erases, shift with arrows draws a line.",
  hint: "Draw a digit from 0 to 9 here\nor choose a picture below",
  tools: "Drawing tools",
  undo: "Undo",
  redo: "Redo",
  clear: "Clear",
  erase: "Eraser",
  size: "Pen width",
  file: "Choose a picture",
  probabilities: "Probability of each digit",
  askWhy: (/** @type {string} */ label) => `Why ${label}?`,
  answer: (/** @type {string} */ label, /** @type {string} */ share) => `It reads ${label} (${share})`,
  unlike: "This does not look like a digit.",
  either: (/** @type {readonly string[]} */ labels) => `It could be ${labels.join(" or ")}.`,
  several: (/** @type {string} */ count) => `There is more than one thing here (${count}). The largest was read.`,
  method: "Method",
  strength: "Strength of the colours",
  signed: (/** @type {string} */ label) => `Red speaks for ${label}, blue against it. The stronger the colour, the more it counts.`,
  contrast: (/** @type {string} */ label, /** @type {string} */ other) => `Red speaks for ${label}, blue for ${other}. The stronger the colour, the more it counts.`,
  unsigned: "The darker, the more it counts.",
  why: (/** @type {string} */ label) => `Why ${label}`,
  whyNot: (/** @type {string} */ label, /** @type {string} */ other) => `Why ${label} and not ${other}`,
  asking: "Working out why …",
  again: "Try again",
  inSeconds: (/** @type {number} */ seconds) => `Trying again in ${seconds} s.`,
  cell: (/** @type {number} */ row, /** @type {number} */ column) => `row ${row}, column ${column}`,
  pasted: "picture",
  unseen: (/** @type {string} */ name) => `${name} cannot be shown here`,
  errors: {
    offline: "The server cannot be reached.",
    busy: "The server is busy.",
    key: "This server answers to those who have a key.",
    unreadable: "The server's answer cannot be read. Is the address right?",
    blank: "There is too little ink to read.",
    none: "There is no explanation here: this server only predicts.",
  },
};

/** @typedef {typeof en} Words */

/** @type {Words} */
const zh = {
  pad: "画板",
  padHelp: "写一个数字。用键盘：方向键移动，空格落笔，Delete 擦除，按住 Shift 再按方向键画线。",
  hint: "在这里写一个 0 到 9 的数字\n或在下面选择图片",
  tools: "画板工具",
  undo: "撤销",
  redo: "重做",
  clear: "清空",
  erase: "橡皮",
  size: "笔的粗细",
  file: "选择图片",
  probabilities: "每个数字的概率",
  askWhy: (label) => `为什么是 ${label}？`,
  answer: (label, share) => `读作 ${label}（${share}）`,
  unlike: "这看起来不像一个数字。",
  either: (labels) => `可能是 ${labels.join(" 或 ")}。`,
  several: (count) => `这里不止一个东西（${count}）。读的是最大的那个。`,
  method: "方法",
  strength: "颜色的浓淡",
  signed: (label) => `红色支持 ${label}，蓝色反对它。颜色越浓，作用越大。`,
  contrast: (label, other) => `红色支持 ${label}，蓝色支持 ${other}。颜色越浓，作用越大。`,
  unsigned: "颜色越深，作用越大。",
  why: (label) => `为什么是 ${label}`,
  whyNot: (label, other) => `为什么是 ${label} 而不是 ${other}`,
  asking: "正在找原因……",
  again: "再试一次",
  inSeconds: (seconds) => `${seconds} 秒后重试。`,
  cell: (row, column) => `第 ${row} 行，第 ${column} 列`,
  pasted: "图片",
  unseen: (name) => `这里无法显示 ${name}`,
  errors: {
    offline: "连不上服务器。",
    busy: "服务器正忙。",
    key: "这台服务器需要密钥。",
    unreadable: "看不懂服务器的回答。地址对吗？",
    blank: "墨迹太少，读不出来。",
    none: "这台服务器只做预测，不给解释。",
  },
};

/** What an error is, for people: in words of their language where there are any, else the server's own sentence.
 *  @param {import("./client.js").InklingError} error @param {Words} words */
export function explained({ code, status, message }, { errors }) {
  if (code === "offline") return errors.offline;
  if (status === 401) return errors.key;
  if (status === 503 || status === 429) return errors.busy;
  if (code === "blank_image") return errors.blank;
  return code === "unreadable" ? errors.unreadable : message;
}

/** The words of the first language in a list like that of Accept-Language that there are; English otherwise.
 *  @param {string} languages @returns {{words: Words, lang: "en" | "zh"}} */
export function wordsFor(languages) {
  const first = languages.toLowerCase().split(",").find((one) => /^\s*(en|zh)\b/.test(one)) ?? "en";
  return first.trim().startsWith("zh") ? { words: zh, lang: "zh" } : { words: en, lang: "en" };
}
