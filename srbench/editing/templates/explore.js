"use strict";

const element = (id) => document.getElementById(id);
const viewer = new Viewer(element("outcome"), element("stage"), element("divider"), () => {
  const percent = Math.round(viewer.split * 100);
  element("divider").setAttribute("aria-valuetext", `${percent} % ${element("before-tag").textContent}, ${100 - percent} % the result`);
});
let scale = 1;
let most = {}; // side in pixels of the largest square part, by partIs
let partIs = "lr"; // "lr": the part is upscaled; "hr": it is downscaled first
let photograph = null; // facts from the server
let part = null; // x, y, width, height in pixels of the photograph
let shown = null; // the request whose answer is shown

function showMessage(text) {
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

// --- the photograph and its part

async function open(file) {
  const about = element("about").textContent;
  element("about").textContent = `opening ${file.name}...`;
  try {
    show(await (await ask("open", file, file.name)).json());
  } catch (error) {
    element("about").textContent = about;
    showMessage(error.message);
  }
  element("file").value = "";
}

function show(opened) {
  photograph = opened;
  element("work").hidden = false;
  element("overview").style.setProperty("--aspect", opened.width / opened.height);
  element("overview").querySelector("img").src = `overview.jpg?image=${opened.id}`;
  choosePart(opened.parts[partIs]);
}

/** Shows a part of the photograph and samples it; the previous result disappears. */
function choosePart(box) {
  part = box;
  const [x, y, width, height] = box;
  const shares = { left: x / photograph.width, top: y / photograph.height, wide: width / photograph.width, high: height / photograph.height };
  for (const [name, share] of Object.entries(shares)) element("overview").style.setProperty(`--${name}`, `${share * 100}%`);
  element("part").value = box.join(",");
  const [inner, outer] = partIs === "lr" ? [1, scale] : [scale, 1];
  element("about").textContent = `${photograph.name}, ${photograph.width} × ${photograph.height}; the model is given ${width / inner} × ${height / inner}`;
  const done = partIs === "lr" ? "upscaled" : "downscaled, then upscaled";
  const grid = partIs === "lr" ? "" : "; its width and height are multiples of the scale";
  element("frame-caption").textContent = `The frame is the part that is ${done}, at most ${most[partIs]} × ${most[partIs]} pixels. Click to move it, or type it in pixels${grid}.`;
  showMessage("");
  shown = null;
  element("result").hidden = true;
  element("save").disabled = true;
  element("caption").textContent = element("saved").textContent = "";
  viewer.setImage(width * outer, height * outer);
  viewer.look(0.5, 0.5, 1);
  element("lr").hidden = partIs === "lr";
  compareWith(partIs);
  make("sample");
}

/** A part of this width and height inside the photograph, centred on a point given as fractions of its sides. */
function partAbout(x, y, width, height) {
  const at = (share, whole, length) => {
    const start = Math.round((share * whole - length / 2) / scale) * scale;
    return Math.max(0, Math.min(start, whole - length));
  };
  return [at(x, photograph.width, width), at(y, photograph.height, height), width, height];
}

element("overview").addEventListener("click", (event) => {
  const area = element("overview").getBoundingClientRect();
  const [x, y] = [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
  choosePart(partAbout(x, y, part[2], part[3]));
});
element("use").addEventListener("change", (event) => {
  const [x, y, width, height] = part;
  partIs = event.target.value;
  const [, , newWidth, newHeight] = photograph.parts[partIs];
  choosePart(partAbout((x + width / 2) / photograph.width, (y + height / 2) / photograph.height, newWidth, newHeight));
});
element("part").addEventListener("change", () => {
  const box = element("part").value.split(",").map(Number);
  if (box.length === 4 && box.every(Number.isSafeInteger)) choosePart(box);
  else showMessage("the part is not x,y,width,height; give four whole numbers");
});

function compareWith(kind) {
  element("before").src = `${kind}.png?image=${photograph.id}&part=${part.join(",")}&part_is=${partIs}`;
  element("before").alt = element("before-tag").textContent = kind === "lr" ? "LR, bicubic" : "photograph";
  element("lr").setAttribute("aria-pressed", kind === "lr");
}

element("lr").addEventListener("click", () => compareWith(element("lr").getAttribute("aria-pressed") === "true" ? "hr" : "lr"));

// --- requests: one at a time; only the latest waiting request is kept

let isBusy = false;
let waiting = null;

async function make(kind) {
  waiting = { image: photograph.id, part, part_is: partIs, kind, temperature: Number(element("temperature").value), seed: Number(element("seed").value) };
  if (isBusy) return;
  isBusy = true;
  element("progress").textContent = "sampling...";
  while (waiting) {
    const request = waiting;
    waiting = null;
    try {
      const answer = await ask("make", JSON.stringify(request), "make");
      const blob = await answer.blob();
      if (request.part === part) display(request, decodeURIComponent(answer.headers.get("X-Caption")), blob);
    } catch (error) {
      if (request.part === part) showMessage(error.message);
    }
  }
  isBusy = false;
  element("progress").textContent = "";
}

function display(request, caption, blob) {
  showMessage("");
  shown = request;
  URL.revokeObjectURL(element("result").src);
  element("result").src = URL.createObjectURL(blob);
  element("result").hidden = false;
  element("title").textContent = request.kind === "spread" ? "Where samples differ" : "Sample";
  element("caption").textContent = `temperature ${request.temperature.toFixed(2)}, seed ${request.seed}; ${caption}`;
  element("saved").textContent = "";
  element("save").disabled = false;
}

element("temperature").addEventListener("input", () => {
  element("degrees").textContent = Number(element("temperature").value).toFixed(2);
  make("sample");
});
element("seed").addEventListener("change", () => make("sample"));
element("next").addEventListener("click", () => {
  element("seed").value = Number(element("seed").value) + 1;
  make("sample");
});
element("spread").addEventListener("click", () => make("spread"));
element("save").addEventListener("click", async () => {
  const request = shown;
  try {
    const { saved } = await (await ask("save", JSON.stringify(request), "save")).json();
    if (request === shown) element("saved").textContent = `saved as ${saved}`;
  } catch (error) {
    showMessage(error.message);
  }
});
for (const id of ["use", "draw", "crop"]) element(id).addEventListener("submit", (event) => event.preventDefault());

element("zoom-in").addEventListener("click", () => viewer.step(true));
element("zoom-out").addEventListener("click", () => viewer.step(false));
element("fit").addEventListener("click", () => viewer.look(0.5, 0.5, 1));

// --- files: chosen, or dropped anywhere

element("file").addEventListener("change", () => element("file").files.length && open(element("file").files[0]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
});

fetch("first").then((answer) => answer.json()).then((first) => {
  ({ scale, most } = first);
  element("temperature").value = first.temperature;
  element("degrees").textContent = first.temperature.toFixed(2);
  if (first.opened) show(first.opened);
});
