"use strict";
// Shows one question at a time, moves and zooms its images together, and sends the choice to the server.

const $ = (id) => document.getElementById(id);
const SIDES = ["left", "reference", "right"];
const QUESTIONS = {
  hr: "Which image do you prefer as a version of the reference?",
  lr: "Which image do you prefer as a high-resolution version of the reference?",
};
const REFERENCES = { hr: "Reference", lr: "Reference (low resolution)" };
const LARGEST_ZOOM = 16; // screen pixels per pixel
const choices = [...document.querySelectorAll("[data-choice]")];
const frames = [...document.querySelectorAll(".frame")];

let rater = decodeURIComponent(location.hash.slice(1)); // in the address, so that a reload continues
let question = null;
let isBusy = true;
let pixel = 1; // zoom: screen pixels per image pixel
let right = 0; // offset of the images from the centre of their frames, in image pixels
let down = 0;

/** Fetches JSON from the server. Throws an Error whose message can be shown. */
async function ask(address, request = {}) {
  let answer, facts;
  try {
    answer = await fetch(address, request);
    facts = await answer.json();
  } catch {
    throw new Error("srbench does not answer; is it still running?");
  }
  if (!answer.ok) throw new Error(facts.error ?? `srbench answers ${answer.status}`);
  return facts;
}

function show(part) {
  for (const id of ["start", "vote", "end"]) $(id).hidden = id !== part;
}

function say(text) {
  $("message").hidden = !text;
  $("message").textContent = text;
}

/** Blocks choices while waiting for the server or images. Disabling the buttons would take their focus. */
function wait(isWaiting) {
  isBusy = isWaiting;
  $("vote").classList.toggle("waiting", isWaiting);
  for (const button of choices) button.setAttribute("aria-disabled", isWaiting);
}

function askName() {
  history.replaceState(null, "", location.pathname);
  show("start");
  $("where").hidden = true;
  $("name").value = "";
  $("name").focus();
}

async function begin(name) {
  say("");
  try {
    const next = await ask(`next?${new URLSearchParams({ rater: name })}`);
    rater = next.rater;
    history.replaceState(null, "", `#${encodeURIComponent(rater)}`);
    await present(next);
  } catch (error) {
    say(error.message);
  }
}

/** Shows a question once all its images are loaded, so that neither is seen first. */
async function present(next) {
  question = next.id ? next : null;
  $("where").hidden = false;
  $("who").textContent = next.rater;
  $("place").textContent = `${Math.min(next.done + 1, next.of)} of ${next.of}`;
  $("bar").value = next.done / next.of;
  if (!question) return show("end");
  show("vote");
  wait(true);
  $("question").textContent = QUESTIONS[next.reference];
  $("named").textContent = REFERENCES[next.reference];
  $("reference").classList.toggle("lr", next.reference === "lr");
  await Promise.all(SIDES.map(load));
  fit();
  wait(false);
}

async function load(side) {
  const address = `image?${new URLSearchParams({ rater, question: question.id, side })}`;
  $(side).src = address;
  try {
    await $(side).decode();
  } catch {
    await ask(address); // throws the reason
    throw new Error("an image could not be shown");
  }
}

async function choose(choice) {
  if (isBusy || !question) return;
  wait(true);
  say("");
  const body = JSON.stringify({ rater, question: question.id, choice });
  let next;
  try {
    next = await ask("vote", { method: "POST", headers: { "X-Srbench": "vote" }, body });
  } catch (error) {
    say(`Not saved: ${error.message}. Choose again.`);
    return wait(false);
  }
  try {
    await present(next);
  } catch (error) {
    say(error.message);
  }
}

/** Zooms to the largest integer number of screen pixels per image pixel that fits the frame, at least 1. */
function fit() {
  const root = document.documentElement.style;
  const { width, height } = question;
  root.removeProperty("--tall");
  const box = frames[0].getBoundingClientRect();
  pixel = Math.max(1, Math.floor(Math.min(box.width / width, box.height / height)));
  right = 0;
  down = 0;
  root.setProperty("--width", width);
  root.setProperty("--height", height);
  root.setProperty("--tall", `${height * pixel}px`);
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
  right = limited(right, box.width, question.width);
  down = limited(down, box.height, question.height);
  const root = document.documentElement.style;
  root.setProperty("--pixel", pixel);
  root.setProperty("--right", right);
  root.setProperty("--down", down);
  $("scale").value = `${pixel}×`;
}

function zoom(factor) {
  pixel = Math.min(Math.max(pixel * factor, 1), LARGEST_ZOOM);
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
$("leave").addEventListener("click", askName);
$("start").addEventListener("submit", (event) => {
  event.preventDefault();
  begin($("name").value);
});
window.addEventListener("resize", place);

if (rater) begin(rater);
else askName();
