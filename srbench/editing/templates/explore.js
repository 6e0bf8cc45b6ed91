"use strict";

const element = (id) => document.getElementById(id);
const state = { image: null, request: null, made: null, boxes: { source: null, target: null }, turn: "source" };

function tell(text) {
  element("message").textContent = text;
  element("message").hidden = !text;
}

async function ask(path, body, about) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", body, headers: { "X-Srbench": encodeURIComponent(about) } });
  } catch {
    throw new Error("srbench does not answer; is it still running?");
  }
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
}

// An image: its file is opened there, and shown here.
async function open(file) {
  try {
    show(await (await ask("open", file, file.name)).json());
  } catch (error) {
    tell(error.message);
  }
  element("file").value = "";
}

function show(opened) {
  state.image = opened;
  tell("");
  clear();
  clearResult();
  element("work").hidden = false;
  element("about").textContent = `${opened.name}, ${opened.width} × ${opened.height}; the model is shown ${opened.width / state.scale} × ${opened.height / state.scale}`;
  original("hr");
  sample();
}

// Of another image nothing may be left beside the new one.
function clearResult() {
  state.request = state.made = null;
  element("result").removeAttribute("src");
  element("result").hidden = true;
  element("title").textContent = titles.sample;
  element("caption").textContent = element("saved").textContent = "";
  for (const id of ["pin", "save"]) element(id).disabled = true;
  for (const name of ["source", "target"]) element(`result-${name}`).hidden = true;
}

function original(kind) {
  element("hr").src = `${kind}.png?image=${state.image.id}`;
  element("hr").alt = kind === "lr" ? "What the model is shown" : "The photograph";
  element("lr").setAttribute("aria-pressed", kind === "lr");
}

element("lr").addEventListener("click", () => original(element("lr").getAttribute("aria-pressed") === "true" ? "hr" : "lr"));

// What is asked for: only the latest request counts, and one is under way at a time.
let underWay = false;
let waiting = null;

async function make(request) {
  if (underWay) {
    waiting = request;
    return;
  }
  underWay = true;
  document.body.classList.add("waiting");
  const stopCounting = countSeconds(request);
  try {
    const answer = await ask("make", JSON.stringify(request), "make");
    if (request.image === state.image.id) display(request, JSON.parse(decodeURIComponent(answer.headers.get("X-Made"))), await answer.blob());
  } catch (error) {
    tell(error.message);
  }
  underWay = false;
  stopCounting();
  document.body.classList.remove("waiting");
  if (waiting) {
    const next = waiting;
    waiting = null;
    make(next);
  }
}

const doing = { sample: "sampling", style: "moving texture", spread: "sampling" };

// Says what is under way, and for how many seconds. Returns what ends it.
function countSeconds(request) {
  const started = performance.now();
  const say = () => {
    const seconds = Math.floor((performance.now() - started) / 1000);
    element("progress").textContent = `${doing[request.kind]}...${seconds ? ` ${seconds} s` : ""}`;
  };
  const timer = setInterval(say, 250);
  say();
  return () => {
    clearInterval(timer);
    element("progress").textContent = "";
  };
}

const titles = { sample: "Sample", style: "Texture moved", spread: "Where samples differ" };

function words(request) {
  if (request.kind === "style") return `strength ${request.temperature}`;
  return `temperature ${request.temperature.toFixed(2)}, seed ${request.seed}`;
}

function display(request, facts, blob) {
  tell("");
  const url = URL.createObjectURL(blob);
  state.request = request;
  state.made = { url, caption: `${words(request)}; ${facts.caption}` };
  element("title").textContent = titles[request.kind];
  element("caption").textContent = state.made.caption;
  element("result").src = url;
  element("result").hidden = false;
  element("saved").textContent = "";
  for (const id of ["pin", "save"]) element(id).disabled = false;
  ["source", "target"].forEach((name, place) => {
    const box = request.kind === "style" ? facts.boxes[place] : null;
    if (box) setBox(name, box);
    frameAt(element(`result-${name}`), box);
  });
}

function common(kind, temperature) {
  return { image: state.image.id, kind, temperature: Number(temperature) };
}

function sample(kind = "sample") {
  make({ ...common(kind, element("temperature").value), seed: Number(element("seed").value) });
}

element("temperature").addEventListener("input", () => {
  element("degrees").textContent = Number(element("temperature").value).toFixed(2);
  sample();
});
element("seed").addEventListener("change", () => sample());
element("next").addEventListener("click", () => {
  element("seed").value = Number(element("seed").value) + 1;
  sample();
});
element("spread").addEventListener("click", () => sample("spread"));
element("draw").addEventListener("submit", (event) => event.preventDefault());

// Boxes: drawn on the photograph or typed, in pixels of HR.
function numbers(text) {
  const parts = text.split(",").map((part) => part.trim());
  return parts.every((part) => /^-?\d+$/.test(part)) ? parts.map(Number) : null;
}

element("style").addEventListener("submit", (event) => {
  event.preventDefault();
  const [source, target] = ["from", "to"].map((id) => numbers(element(id).value));
  make({ ...common("style", element("strength").value), source, target });
});

const fields = { source: "from", target: "to" };

function setBox(name, box) {
  state.boxes[name] = box;
  element(fields[name]).value = box ? box.join(",") : "";
  frameAt(element(name), box);
}

function frameAt(frame, box) {
  frame.hidden = !box;
  if (!box) return;
  const [x, y, width, height] = box;
  const share = (part, whole) => `${(100 * part) / whole}%`;
  frame.style.left = share(x, state.image.width);
  frame.style.top = share(y, state.image.height);
  frame.style.width = share(Math.min(width, state.image.width - x), state.image.width);
  frame.style.height = share(Math.min(height, state.image.height - y), state.image.height);
}

function clear() {
  setBox("source", null);
  setBox("target", null);
  state.turn = "source";
}

element("clear").addEventListener("click", clear);
for (const [name, id] of Object.entries(fields)) {
  element(id).addEventListener("change", () => {
    const box = numbers(element(id).value);
    if (box && box.length === 4 && box.every((part) => part >= 0)) setBox(name, box);
  });
}

let start = null;

function place(event) {
  const area = element("hr").getBoundingClientRect();
  const within = (part, whole) => Math.min(Math.max(Math.round(part), 0), whole);
  return [
    within(((event.clientX - area.left) / area.width) * state.image.width, state.image.width),
    within(((event.clientY - area.top) / area.height) * state.image.height, state.image.height),
  ];
}

function between([x, y], [u, v]) {
  return [Math.min(x, u), Math.min(y, v), Math.abs(x - u), Math.abs(y - v)];
}

element("hr").addEventListener("pointerdown", (event) => {
  event.preventDefault();
  element("hr").setPointerCapture(event.pointerId);
  start = place(event);
});
element("hr").addEventListener("pointermove", (event) => {
  if (start) setBox(state.turn, between(start, place(event)));
});
element("hr").addEventListener("pointerup", (event) => {
  if (!start) return;
  const box = between(start, place(event));
  start = null;
  if (box[2] < 2 || box[3] < 2) return;
  setBox(state.turn, box);
  state.turn = state.turn === "source" ? "target" : "source";
});

element("hr").addEventListener("pointercancel", () => {
  start = null;
});

// What a person likes: kept side by side, or written to disk.
element("pin").addEventListener("click", () => {
  if (!state.made) return;
  const { request, made } = state;
  const item = document.createElement("li");
  const image = document.createElement("img");
  image.src = made.url;
  image.alt = made.caption;
  const caption = document.createElement("p");
  caption.className = "caption";
  caption.textContent = made.caption;
  const saves = document.createElement("button");
  saves.textContent = "Save";
  saves.addEventListener("click", () => save(request));
  const remove = document.createElement("button");
  remove.textContent = "Remove";
  remove.addEventListener("click", () => {
    item.remove();
    element("pinned").hidden = !element("shelf").children.length;
  });
  item.append(image, caption, saves, remove);
  element("shelf").append(item);
  element("pinned").hidden = false;
});

async function save(request) {
  try {
    const answer = await ask("save", JSON.stringify(request), "save");
    element("saved").textContent = `saved as ${(await answer.json()).saved}`;
    tell("");
  } catch (error) {
    tell(error.message);
  }
}

element("save").addEventListener("click", () => state.request && save(state.request));
element("file").addEventListener("change", () => element("file").files.length && open(element("file").files[0]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
});

fetch("first").then((answer) => answer.json()).then((first) => {
  state.scale = first.scale;
  if (first.opened) show(first.opened);
});
