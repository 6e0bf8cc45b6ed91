"use strict";

const element = (id) => document.getElementById(id);
const state = { image: null, part: null, origin: null, request: null, made: null, turn: "source" };
const viewer = new Viewer(element("outcome"), element("stage"), element("divider"), () => {
  const percent = Math.round(viewer.split * 100);
  element("divider").setAttribute("aria-valuetext", `${percent} % before, ${100 - percent} % the result`);
});

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

// --- photographs: the file is sent whole; a view of all of it and the part in full come back

async function open(input, file, use) {
  const about = element("about").textContent;
  element("about").textContent = `opening ${file.name}...`;
  let opened = null;
  try {
    opened = await (await ask("open", file, file.name)).json();
    tell("");
  } catch (error) {
    tell(error.message);
  }
  element("about").textContent = about;
  input.value = "";
  if (opened) use(opened);
}

function show(opened) {
  state.image = opened;
  element("work").hidden = false;
  element("photograph").hidden = opened.width * opened.height <= state.most || isWhole(opened.part);
  partBox.size = [opened.width, opened.height];
  showView("view", opened);
  showOrigin(opened);
  choosePart(opened.part);
}

const isWhole = (part) => [0, 1].every((axis) => part[axis] === 0 && [state.image.width, state.image.height][axis] - part[2 + axis] < state.scale);

function showView(id, opened) {
  setAspect(element(id), opened.width, opened.height);
  element(id).querySelector("img").src = `view.jpg?image=${opened.id}`;
}

function setAspect(canvas, width, height) {
  canvas.style.setProperty("--aspect", width / height);
}

/** Beside a new part nothing of the one before is left. */
function choosePart(part) {
  state.part = part;
  partBox.show(part);
  element("part").value = part.join(",");
  tell("");
  const [, , width, height] = part;
  const whole = `${state.image.name}, ${state.image.width} × ${state.image.height}`;
  const shown = `the model is shown ${width / state.scale} × ${height / state.scale}`;
  element("about").textContent = element("photograph").hidden ? `${whole}; ${shown}` : `${whole}; of the part of ${width} × ${height}, ${shown}`;
  boxes.source.size = boxes.target.size = [width, height];
  clear();
  clearResult();
  setAspect(element("canvas"), width, height);
  viewer.setImage(width, height);
  viewer.look(0.5, 0.5, 1);
  element("hr").src = address("hr");
  before("hr");
  sample();
}

const address = (kind) => `${kind}.png?image=${state.image.id}&part=${state.part.join(",")}`;

function clearResult() {
  state.request = state.made = null;
  element("result").removeAttribute("src");
  element("result").hidden = true;
  element("title").textContent = titles.sample;
  element("result-tag").textContent = element("caption").textContent = element("saved").textContent = "";
  for (const id of ["pin", "save"]) element(id).disabled = true;
  for (const name of ["source", "target"]) element(`result-${name}`).hidden = true;
}

function before(kind) {
  const words = { hr: "photograph", lr: "LR, upscaled" }[kind];
  element("before").src = address(kind);
  element("before").alt = element("before-tag").textContent = words;
  element("lr").setAttribute("aria-pressed", kind === "lr");
}

element("lr").addEventListener("click", () => before(element("lr").getAttribute("aria-pressed") === "true" ? "hr" : "lr"));

// --- what is asked for: only the latest request counts, and one is under way at a time

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
    const facts = JSON.parse(decodeURIComponent(answer.headers.get("X-Made")));
    paces[request.kind] = facts.seconds / pixels(request);
    const blob = await answer.blob();
    if (request.part === state.part) display(request, facts, blob);
  } catch (error) {
    if (request.part === state.part) tell(error.message);
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

const doing = { sample: "sampling", style: "moving texture", content: "pasting", restore: "removing noise", spread: "sampling" };
const titles = { sample: "Sample", style: "Texture moved", content: "Content pasted", restore: "Noise removed", spread: "Where samples differ" };
const paces = {}; // seconds for each pixel, by kind
const SPREAD = 3; // times of one sample that five take before they have been measured: all share the encoder

const pixels = (request) => request.part[2] * request.part[3];

/** Says what is under way, for how many seconds, and how many are left. Returns what ends it. */
function countSeconds(request) {
  const started = performance.now();
  const pace = paces[request.kind] ?? (request.kind === "spread" ? SPREAD * paces.sample : NaN);
  const say = () => {
    const seconds = (performance.now() - started) / 1000;
    const left = Math.ceil(pace * pixels(request) - seconds);
    const words = [...(seconds >= 1 ? [`${Math.floor(seconds)} s`] : []), ...(left >= 1 ? [`about ${left} s left`] : [])];
    element("progress").textContent = [`${doing[request.kind]}...`, words.join(", ")].join(" ").trim();
  };
  const timer = setInterval(say, 250);
  say();
  element("progress").setAttribute("aria-busy", "true"); // the seconds are not read out
  return () => {
    clearInterval(timer);
    element("progress").textContent = "";
    element("progress").setAttribute("aria-busy", "false");
  };
}

function words(request) {
  const { kind, temperature, seed } = request;
  if (kind === "style") return `strength ${temperature}`;
  return kind === "content" ? `strength ${temperature}, seed ${seed}` : `temperature ${temperature.toFixed(2)}, seed ${seed}`;
}

function display(request, facts, blob) {
  tell("");
  const url = URL.createObjectURL(blob);
  state.request = request;
  state.made = { url, caption: `${words(request)}; ${facts.caption}` };
  element("title").textContent = titles[request.kind];
  element("result-tag").textContent = titles[request.kind].toLowerCase();
  element("caption").textContent = state.made.caption;
  element("result").src = url;
  element("result").hidden = false;
  element("saved").textContent = "";
  for (const id of ["pin", "save"]) element(id).disabled = false;
  const [source, target] = request.kind === "content" ? [null, facts.boxes[0]] : facts.boxes;
  for (const [name, box] of [["source", source], ["target", target]]) {
    const isAsAsked = numbers(element(fields[name]).value)?.join() === request[name]?.join(); // none was drawn meanwhile
    if (request.kind === "style" && chosenEdit() === "style" && isAsAsked) setBox(name, box);
    placeBox(element(`result-${name}`), box, boxes.target.size);
  }
}

function common(kind, temperature) {
  return { image: state.image.id, part: state.part, kind, temperature: Number(temperature), seed: Number(element("seed").value) };
}

function sample(kind = "sample") {
  make(common(kind, element("temperature").value));
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
for (const id of ["draw", "crop"]) element(id).addEventListener("submit", (event) => event.preventDefault());

// --- what a person likes: kept side by side, or written to disk

element("pin").addEventListener("click", () => {
  if (!state.made) return;
  const { request, made } = state;
  const item = document.createElement("li");
  const image = document.createElement("img");
  const part = isWhole(request.part) ? "" : ` ${request.part.join(",")}`;
  image.src = made.url;
  image.alt = made.caption;
  const caption = document.createElement("p");
  caption.className = "caption";
  caption.textContent = `${state.image.name}${part}: ${made.caption}`;
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

// --- zoom: the wheel and pinches are the viewer's

element("zoom-in").addEventListener("click", () => viewer.step(true));
element("zoom-out").addEventListener("click", () => viewer.step(false));
element("fit").addEventListener("click", () => viewer.look(0.5, 0.5, 1));
element("stage").addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
  if (event.target !== element("stage")) return;
  if (event.key in moves && viewer.zoom > 1) viewer.pan(...moves[event.key]);
  else if ("+=-".includes(event.key)) viewer.step(event.key !== "-");
  else if (event.key === "0") viewer.look(0.5, 0.5, 1);
  else return;
  event.preventDefault();
});

// --- files: chosen, or dropped anywhere

for (const [id, use] of [["file", show], ["origin-file", (opened) => showOrigin(opened)]]) {
  element(id).addEventListener("change", () => element(id).files.length && open(element(id), element(id).files[0], use));
}
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) open(element("file"), event.dataTransfer.files[0], show);
});
