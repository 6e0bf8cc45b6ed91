"use strict";

// The boxes of the page, and the edits that they describe. Boxes are drawn, moved, or typed, in pixels of the photograph
// that they lie on.

let partBox = null;
let originBox = null;
const boxes = { source: null, target: null };
const fields = { source: "from", target: "to" };
const edits = {
  style: { button: "Move texture", strength: 0.9, how: "Drag a box over the texture you want, then a second one where you want it." },
  content: { button: "Paste", strength: 0.9, how: "Drag a box where the content goes. The frame below is what is pasted there, pixel for pixel; move it." },
  restore: { button: "Remove noise", strength: 0.8, how: "Removes what neither the LR image nor the model explains." },
};
const chosenEdit = () => element("kind").value;

function makeBoxes(scale, most) {
  const free = { grid: 1, step: scale, least: 1, most: Infinity, resizes: true };
  const fill = (name) => (box) => {
    element(fields[name]).value = box.join(",");
    if (name === "target") followTarget();
  };
  partBox = new Selection(element("view"), "part", "Part", { ...free, grid: scale, least: 2 * scale, most }, (box) => {
    element("part").value = box.join(",");
  }, choosePart);
  boxes.source = new Selection(element("canvas"), "from", "From", free, fill("source"), () => {});
  boxes.target = new Selection(element("canvas"), "to", "To", free, fill("target"), () => {});
  originBox = new Selection(element("origin"), "from", "From", { ...free, resizes: false }, fill("source"), () => {});
}

// Only a click centres the part, so that a finger on a large view can still scroll the page.
element("view").addEventListener("click", (event) => {
  if (event.target.closest(".box")) return;
  partBox.centre(pixelAt(element("view"), event, partBox.size));
  choosePart(partBox.box);
});
element("origin").addEventListener("click", (event) => {
  if (originBox.box && !event.target.closest(".box")) originBox.centre(pixelAt(element("origin"), event, originBox.size));
});

function numbers(text) {
  const parts = text.split(",").map((part) => part.trim());
  return parts.every((part) => /^-?\d+$/.test(part)) ? parts.map(Number) : null;
}

const boxOf = (text) => {
  const box = numbers(text);
  return box?.length === 4 && box.every((part) => part >= 0) ? box : null;
};

element("part").addEventListener("change", () => {
  const box = boxOf(element("part").value);
  choosePart(box ? partBox.within(box) : state.part);
});

/** The photograph that content is taken from. */
function showOrigin(opened) {
  state.origin = opened;
  originBox.size = [opened.width, opened.height];
  originBox.show(null);
  showView("origin", opened);
  element("origin-name").textContent = `${opened.name}, ${opened.width} × ${opened.height}`;
  followTarget();
}

/** Where content goes decides the size of what is pasted. */
function followTarget() {
  const target = boxes.target?.box;
  if (chosenEdit() !== "content" || !target) return;
  const [wide, high] = originBox.size;
  const [x, y] = originBox.box ?? [(wide - target[2]) / 2, (high - target[3]) / 2];
  originBox.move([x, y, target[2], target[3]]);
}

function setBox(name, box) {
  const on = name === "source" && chosenEdit() === "content" ? originBox : boxes[name];
  on.show(box);
  element(fields[name]).value = box ? box.join(",") : "";
  if (name === "target") followTarget();
}

function clear() {
  for (const name of ["source", "target"]) boxes[name].show(null);
  originBox.show(null);
  for (const id of Object.values(fields)) element(id).value = "";
  state.turn = "source";
}

element("clear").addEventListener("click", clear);
for (const [name, id] of Object.entries(fields)) {
  element(id).addEventListener("change", () => {
    const box = boxOf(element(id).value);
    if (box) setBox(name, box);
  });
}

// Drawing: texture takes two boxes in turn, content one.
drags(element("canvas"), (event) => {
  const kind = chosenEdit();
  if (kind === "restore") return null;
  const name = kind === "content" ? "target" : state.turn;
  const box = boxes[name];
  const [kept, start] = [box.box, pixelAt(element("canvas"), event, box.size)];
  return {
    move: (next) => box.span(start, pixelAt(element("canvas"), next, box.size)),
    end: () => {
      if (box.box === kept || Math.min(...box.box.slice(2)) < 2) setBox(name, kept);
      else state.turn = state.turn === "source" ? "target" : "source";
    },
  };
});

function chooseEdit() {
  const { button, strength, how } = edits[chosenEdit()];
  clear();
  element("make").textContent = button;
  element("strength").value = strength;
  element("strength-name").textContent = chosenEdit() === "restore" ? "temperature" : "strength";
  element("how").textContent = how;
  element("pasting").hidden = chosenEdit() !== "content";
  for (const label of document.querySelectorAll("#edit .boxes")) label.hidden = chosenEdit() === "restore";
}

element("kind").addEventListener("change", chooseEdit);
element("edit").addEventListener("submit", (event) => {
  event.preventDefault();
  const kind = chosenEdit();
  const request = common(kind, element("strength").value);
  if (kind !== "restore") [request.source, request.target] = ["from", "to"].map((id) => numbers(element(id).value));
  if (kind === "content" && state.origin.id !== state.image.id) request.source_image = state.origin.id;
  make(request);
  if (element("stage").getBoundingClientRect().bottom < 0) element("outcome").scrollIntoView();
});

fetch("first").then((answer) => answer.json()).then((first) => {
  [state.scale, state.most] = [first.scale, first.most];
  makeBoxes(first.scale, first.most);
  chooseEdit();
  if (first.opened) show(first.opened);
});
