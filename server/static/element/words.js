// @ts-check
/** All words of the element, in English and Chinese. A function makes those that hold a number or a name. */

const en = {
  pad: "Drawing pad",
  padHelp: "Draw a digit. With the keyboard: arrow keys move, space inks, delete erases, shift with arrows draws a line.",
  hint: "Draw a digit",
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
  several: (/** @type {string} */ count) => `There is more than one thing here (${count}). The largest was read.`,
  method: "Method",
  map: "Heatmap over the drawing",
  strength: "Heatmap strength",
  why: (/** @type {string} */ label) => `Why ${label}`,
  whyNot: (/** @type {string} */ label, /** @type {string} */ other) => `Why ${label} and not ${other}`,
  asking: "Working out why …",
  cell: (/** @type {number} */ row, /** @type {number} */ column) => `row ${row}, column ${column}`,
  pasted: "picture",
  unseen: (/** @type {string} */ name) => `${name} cannot be shown here`,
  errors: {
    offline: "The server cannot be reached. It will be tried again.",
    busy: (/** @type {number} */ seconds) => `The server is busy. Trying again in ${seconds} s.`,
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
  hint: "写一个数字",
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
  several: (count) => `这里不止一个东西（${count}）。读的是最大的那个。`,
  method: "方法",
  map: "画上的热图",
  strength: "热图的浓淡",
  why: (label) => `为什么是 ${label}`,
  whyNot: (label, other) => `为什么是 ${label} 而不是 ${other}`,
  asking: "正在找原因……",
  cell: (row, column) => `第 ${row} 行，第 ${column} 列`,
  pasted: "图片",
  unseen: (name) => `这里无法显示 ${name}`,
  errors: {
    offline: "连不上服务器，会自动重试。",
    busy: (seconds) => `服务器正忙，${seconds} 秒后重试。`,
    key: "这台服务器需要密钥。",
    unreadable: "看不懂服务器的回答。地址对吗？",
    blank: "墨迹太少，读不出来。",
    none: "这台服务器只做预测，不给解释。",
  },
};

/** The words of the first language in a list like that of Accept-Language that there are; English otherwise.
 *  @param {string} languages @returns {{words: Words, lang: "en" | "zh"}} */
export function wordsFor(languages) {
  const first = languages.toLowerCase().split(",").find((one) => /^\s*(en|zh)\b/.test(one)) ?? "en";
  return first.trim().startsWith("zh") ? { words: zh, lang: "zh" } : { words: en, lang: "en" };
}
