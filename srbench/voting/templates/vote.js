"use strict";
// Asks one question at a time, moves and zooms its images together, and keeps the answers in this browser.

const $ = (id) => document.getElementById(id);
const SIDES = ["reference", "left", "right"];
const WORDS = {
  hr: ["Which image do you prefer as a version of the reference?", "Reference"],
  lr: ["Which image do you prefer as a high-resolution version of the reference?", "Reference (low resolution)"],
};
const LARGEST_ZOOM = 16; // CSS pixels per image pixel
const study = JSON.parse($("study").textContent);
const STORE = `srbench vote ${study.id}`; // all pages on a disk share one store
const choices = [...document.querySelectorAll("[data-choice]")];
const frames = [...document.querySelectorAll(".frame")];

let kept = read(); // the random id of the rater, and answers by question
const questions = draw(kept.rater);
let question = null;
let isBusy = true;
let pixel = 1; // zoom: CSS pixels per image pixel
let width = 1; // of the images, in their pixels
let height = 1;
let right = 0; // offset of the images from the centre of their frames, in image pixels
let down = 0;

/** Returns what the browser has kept, or a new rater. Another page may have written anything there. */
function read() {
  try {
    const { rater, answers } = JSON.parse(localStorage.getItem(STORE));
    if (/^[0-9a-f]{16}$/.test(rater) && typeof answers === "object") return { rater, answers: { ...answers } };
  } catch {} // nothing yet, damaged, or no storage
  const bytes = [...crypto.getRandomValues(new Uint8Array(8))];
  return { rater: bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(""), answers: {} };
}

/** Returns the questions of a rater: the turns of the study, their questions and the sides are shuffled by the id. */
function draw(rater) {
  let state = parseInt(rater.slice(0, 8), 16) ^ parseInt(rater.slice(8), 16);
  const below = (count) => { // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * count);
  };
  const shuffled = (list) => {
    list = [...list];
    for (let last = list.length - 1; last > 0; last--) {
      const other = below(last + 1);
      [list[last], list[other]] = [list[other], list[last]];
    }
    return list;
  };
  const asked = shuffled(study.turns).flatMap(shuffled).slice(0, study.votes);
  return asked.map(([reference, ...outputs]) => [reference, ...shuffled(outputs)]);
}

function show(part) {
  for (const id of ["start", "vote", "end"]) $(id).hidden = id !== part;
  if (part !== "vote") $(part).querySelector("button").focus();
}

function say(text) {
  $("message").hidden = !text;
  $("message").textContent = text;
}

/** Blocks choices while images load. Disabling the buttons would take their focus. */
function wait(isWaiting) {
  isBusy = isWaiting;
  $("vote").classList.toggle("waiting", isWaiting);
  for (const button of choices) button.setAttribute("aria-disabled", isWaiting);
}

/** Shows the first unanswered question once all its images are loaded, so that neither is seen first. */
async function present() {
  const open = questions.filter((asked) => !kept.answers[asked]);
  question = open[0];
  const done = questions.length - open.length;
  $("where").hidden = !question;
  $("place").textContent = `${done + 1} of ${questions.length}`;
  $("bar").value = done / questions.length;
  document.querySelector(".save.link").hidden = !done;
  show(question ? "vote" : "end");
  if (!question) return;
  wait(true);
  try {
    await Promise.all(SIDES.map((side, place) => load($(side), question[place])));
  } catch {
    return say("An image is missing: is the folder images beside this page? Reload the page to try again.");
  }
  ({ naturalWidth: width, naturalHeight: height } = $("left"));
  fit();
  wait(false);
  for (const name of open[1] ?? []) load(new Image(), name).catch(() => {});
}

function load(image, name) {
  image.src = `images/${name}.png`;
  return image.decode();
}

function choose(choice) {
  if (isBusy || !question) return;
  const [reference, left, right] = question;
  const time = new Date().toISOString();
  kept.answers[question] = { study: study.id, rater: kept.rater, time, reference, left, right, choice };
  try {
    localStorage.setItem(STORE, JSON.stringify(kept));
  } catch {
    say("This browser keeps nothing: leave the page open until you have saved your votes.");
  }
  present();
}

function save() {
  const link = document.createElement("a");
  const answers = questions.map((asked) => kept.answers[asked]).filter(Boolean);
  link.href = URL.createObjectURL(new Blob(answers.map((answer) => `${JSON.stringify(answer)}\n`)));
  link.download = $("file").textContent;
  link.click();
  $("saved").hidden = Boolean(question);
}

/** Zooms to the largest whole number of screen pixels per image pixel that fits the frame, at least 1. */
function fit() {
  const box = frames[0].getBoundingClientRect();
  const most = Math.floor(Math.min(box.width / width, box.height / height) * devicePixelRatio);
  pixel = Math.max(most, 1) / devicePixelRatio;
  right = 0;
  down = 0;
  place();
}

/** Applies zoom and offset, limited so that images larger than their frame always cover it. */
function place() {
  if (!question) return;
  const box = frames[0].getBoundingClientRect();
  const limited = (offset, side, size) => {
    const limit = Math.max(0, (size - side / pixel) / 2);
    return Math.min(Math.max(offset, -limit), limit);
  };
  right = limited(right, box.width, width);
  down = limited(down, box.height, height);
  const values = { width, height, pixel, right, down };
  for (const name in values) document.documentElement.style.setProperty(`--${name}`, values[name]);
  $("scale").value = `${+pixel.toFixed(2)}×`;
}

function zoom(factor) {
  pixel = Math.min(Math.max(pixel * factor, 1 / devicePixelRatio), LARGEST_ZOOM);
  place();
}

function move(toRight, toBottom) {
  right += toRight / pixel;
  down += toBottom / pixel;
  place();
}

const MOVES = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
const CHOICES = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "neither" };
const ZOOMS = { "+": 2, "=": 2, "-": 0.5 };

document.addEventListener("keydown", (event) => {
  if ($("vote").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.shiftKey && event.key in MOVES) move(...MOVES[event.key]);
  else if (event.key in CHOICES) event.repeat || choose(CHOICES[event.key]);
  else if (event.key in ZOOMS) zoom(ZOOMS[event.key]);
  else return;
  event.preventDefault();
});
for (const button of choices) button.addEventListener("click", () => choose(button.dataset.choice));
for (const frame of frames) {
  frame.addEventListener("pointerdown", (event) => frame.setPointerCapture(event.pointerId));
  frame.addEventListener("pointermove", (event) => {
    if (frame.hasPointerCapture(event.pointerId)) move(event.movementX, event.movementY);
  });
}
$("in").addEventListener("click", () => zoom(2));
$("out").addEventListener("click", () => zoom(0.5));
for (const button of document.querySelectorAll(".save")) button.addEventListener("click", save);
$("leave").addEventListener("click", () => {
  localStorage.removeItem(STORE);
  location.reload();
});
$("begin").addEventListener("click", present);
window.addEventListener("resize", fit);
window.addEventListener("storage", ({ key }) => key === STORE && location.reload()); // another tab has answered

[$("question").textContent, $("named").textContent] = WORDS[study.reference];
$("reference").classList.toggle("lr", study.reference === "lr");
$("file").textContent = `votes-${kept.rater}.jsonl`;
if (questions.some((asked) => kept.answers[asked])) present();
else show("start");
