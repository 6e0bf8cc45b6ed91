// Buttons, fields and keys. The code at the end starts the page.

function swap() {
  choose({ a: chosen.b, b: chosen.a });
}

function stopFlicker() {
  clearInterval(flickering);
  flickering = 0;
  root.classList.remove("flicker", "shows-a", "shows-b");
  $("flicker").setAttribute("aria-pressed", false);
}

function flicker() {
  const starts = !flickering;
  stopFlicker();
  if (starts) {
    if (isBeside()) setBeside(false);
    flickering = setInterval(() => { root.classList.toggle("shows-a"); root.classList.toggle("shows-b"); }, FLICKER_MS);
    root.classList.add("flicker", "shows-a");
    $("flicker").setAttribute("aria-pressed", true);
  }
  writeAddress();
}

/** Shows |A - B| four times as bright, or A and B again. */
function setDifference(shown) {
  if (shown && isBeside()) setBeside(false);
  root.classList.toggle("difference", shown);
  $("difference").setAttribute("aria-pressed", shown);
  writeAddress();
}

function differ() {
  setDifference(!root.classList.contains("difference"));
}

/** Enters or leaves full screen. */
async function toggleFullScreen() {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await root.requestFullscreen();
}

/** Opens everything folded before printing, and folds it again afterwards. */
function unfold(opened) {
  imageRows.setWhole(opened);
  for (const part of document.querySelectorAll(opened ? "details:not([open]):not(.keys)" : "details[data-unfolded]")) {
    part.open = opened;
    part.toggleAttribute("data-unfolded", opened);
  }
}

function explainKeys() {
  const keys = root.querySelector(".keys");
  keys.open = !keys.open;
  if (keys.open) keys.querySelector("summary").focus();
}

const PAN = 0.1; // step of a key press, as a fraction of the window
const KEYS = {
  ArrowLeft: () => turn(-1), ArrowRight: () => turn(1), x: swap, f: flicker, m: nextMap, d: differ, s: toggleBeside, "?": explainKeys,
  "+": () => viewer.step(true), "=": () => viewer.step(true), "-": () => viewer.step(false), 0: () => viewer.look(0.5, 0.5, 1),
};
const SHIFTED_KEYS = {
  F: toggleFullScreen,
  ArrowLeft: () => viewer.pan(-PAN, 0), ArrowRight: () => viewer.pan(PAN, 0), ArrowUp: () => viewer.pan(0, -PAN), ArrowDown: () => viewer.pan(0, PAN),
};

function onKey(event) {
  if (event.key === "Escape") viewer.leave();
  if (event.ctrlKey || event.metaKey || event.altKey || !$("keys").checked) return;
  if (event.target.closest("input, select, textarea, .scroll, pre") || event.target.matches(".panels")) return;
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
  const shifted = event.shiftKey && event.key in SHIFTED_KEYS;
  const action = shifted ? SHIFTED_KEYS[event.key] : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (digit) chooseSlot(Number(digit) - 1, event.shiftKey ? "a" : "b");
  else if (action) action();
  else return;
  event.preventDefault();
}

function chooseSlot(place, side) {
  const index = slots[place]?.[0];
  if (index !== undefined && source(index) !== null) choose({ [side]: index });
}

const CLICKS = {
  previous: () => turn(-1), next: () => turn(1), swap, flicker, difference: differ, "side-by-side": toggleBeside, "full-screen": toggleFullScreen,
  "copy-link": copyLink, "save-figure": saveFigure, fit: () => viewer.look(0.5, 0.5, 1),
  "zoom-in": () => viewer.step(true), "zoom-out": () => viewer.step(false),
};

function wire() {
  for (const [id, act] of Object.entries(CLICKS)) $(id).addEventListener("click", act);
  $("full-screen").hidden = !document.fullscreenEnabled;
  document.addEventListener("fullscreenchange", () => $("full-screen").setAttribute("aria-pressed", document.fullscreenElement !== null));
  $("map").addEventListener("change", () => chooseMap($("map").value));
  for (const button of root.querySelectorAll("[data-pixel]")) button.addEventListener("click", () => viewer.setPixel(Number(button.dataset.pixel)));
  for (const id of ["worst", "worst-of"]) $(id).addEventListener("change", chooseWorst);
  $("filter").addEventListener("input", filterImages);
  for (const select of metricSelects) select.addEventListener("change", () => chooseMetric(Number(select.value)));
  for (const side of ["a", "b"]) {
    $(`select-${side}`).addEventListener("change", (event) => choose({ [side]: Number(event.target.value) }));
    $(`temperature-${side}`).addEventListener("input", (event) =>
      choose({ [side]: atOtherTemperatures(columns[chosen[side]])[Number(event.target.value)] }));
  }
  for (const side of ["c", "d"]) {
    $(`select-${side}`).addEventListener("change", (event) => choose({ [side]: event.target.value === "" ? null : Number(event.target.value) }));
  }
  document.addEventListener("keydown", onKey);
  addEventListener("beforeprint", () => unfold(true));
  addEventListener("afterprint", () => unfold(false));
  addEventListener("hashchange", () => readAddress() && $("compare").scrollIntoView());
}

for (const side of SIDES) {
  $(`select-${side}`).append(...columns.map((column, index) => element("option", { value: index }, column.title)));
}
$("worst-of").append(...settings.map((label, setting) => element("option", { value: setting }, label)));
$("worst-of").value = opening ? columns[opening.b].setting : settings.length - 1;
for (const select of metricSelects) select.append(...metrics.map((metric, index) => element("option", { value: index }, titleOf(metric))));
for (const table of document.querySelectorAll("table.sortable")) if (table.tHead) makeSortable(table);
for (const [id, sort] of [["scores", sortRows], ["per-image", sortImages]]) fillTable($(id), [["model"]], []), makeSortable($(id), sort);
const known = maps.filter((map) => map.name in stored.maps);
$("map").append(...known.map((map) => element("option", { value: map.name }, `Maps: ${map.title}`)));
$("map").hidden = known.length === 0;
makeTiles();
makeBeside();
makeStrip();
makeMarks();
wire();
renderImages();
render();
const below = (table, texts) => table.closest(".scroll").after(copyButtons(texts));
below(document.querySelector("#results table"), Object.fromEntries(Object.entries(copies).map(([name, text]) => [name, () => text])));
below($("scores"), { CSV: () => asCsv($("scores")) });
for (const shown of document.querySelectorAll("[data-copy]")) addCopyButton(shown);
if (readAddress()) $("compare").scrollIntoView();
else if (opening) open();
