// The page: what is chosen, and everything that shows it. The address carries the choice, so it can be sent to others.

const { metrics, settings, maps, columns, pictures, opening } = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const FLICKER_MS = 500; // two changes a second stay below what may cause seizures
const root = document.querySelector(".viewer");
const SHOWN_TEMPERATURE = 0.8; // at first, or the nearest to it: what the SRFlow paper reports
const slots = makeSlots();
const chosen = { picture: 0, a: 0, b: slots.findLast((slot) => !columns[slot[0]].sample)[0], metric: 0, map: "" };
const byGroup = [...metrics.keys()].sort((left, right) => metrics[left].group_place - metrics[right].group_place);
const metricSelects = document.querySelectorAll("select.metric");
let flickering = 0;

const viewer = new Viewer(root, $("stage"), $("divider"), () => writeAddress());

// --- slots: places among the tiles. One holds a sample of a model at all temperatures; the shown one comes first

function makeSlots() {
  const found = new Map();
  for (const [index, column] of columns.entries()) {
    const key = column.temperature === null ? column.id : JSON.stringify([column.model, column.sample]);
    found.set(key, [...(found.get(key) ?? []), index]);
  }
  const distance = (index) => Math.abs((columns[index].temperature ?? 0) - SHOWN_TEMPERATURE);
  return [...found.values()].map((slot) => slot.sort((left, right) => distance(left) - distance(right)));
}

/** Shows all samples of a column's model at its temperature. */
function bringToFront(index) {
  const { model, temperature } = columns[index];
  for (const slot of slots) {
    if (columns[slot[0]].model === model) slot.sort((left, right) => (columns[right].temperature === temperature) - (columns[left].temperature === temperature));
  }
}

// --- what is chosen

function choose(changes) {
  const before = chosen.picture;
  Object.assign(chosen, changes);
  for (const side of ["a", "b"]) if (side in changes) bringToFront(chosen[side]);
  if (chosen.picture !== before) viewer.look(viewer.x, viewer.y, viewer.zoom);
  render();
  writeAddress();
}

function chooseMetric(metric) {
  chosen.metric = metric;
  for (const select of metricSelects) select.value = metric;
  renderPictures();
  renderTiles(pictures[chosen.picture]);
  writeAddress();
}

/** What the page shows at first: the image and the window in which the two leading models differ most. */
function open() {
  const { image, a, b, x, y, zoom } = opening;
  choose({ picture: pictures.findIndex((picture) => picture.name === image), a, b });
  viewer.look(x, y, zoom);
  clearTimeout(writing); // nobody chose it
}

/** Shows maps of a kind instead of pictures, where there are any. */
function chooseMap(name) {
  const map = maps.find((known) => known.name === name);
  chosen.map = map?.name ?? "";
  $("map").value = chosen.map;
  $("legend").hidden = !map;
  if (map) $("legend").lastElementChild.textContent = `0 to ${map.upper} or more. ${map.title}: ${map.unit}.`;
  render();
  writeAddress();
}

function nextMap() {
  const options = [...$("map").options];
  if (!$("map").hidden) chooseMap(options[($("map").selectedIndex + 1) % options.length].value);
}

function source(column, picture = pictures[chosen.picture]) {
  return mapOf(column, picture) ?? picture.files[column];
}

function mapOf(column, picture = pictures[chosen.picture]) {
  return picture.maps[chosen.map]?.[column] ?? null;
}

/** A column's title, and what is shown of it. */
function nameOf(column) {
  return mapOf(column) === null ? columns[column].title : `${columns[column].title}: ${maps.find((map) => map.name === chosen.map).title}`;
}

function show(image, column) {
  const file = source(column);
  const alternative = `${pictures[chosen.picture].name}, ${nameOf(column)}`;
  image.classList.toggle("lr", columns[column].id === "lr");
  image.alt = alternative;
  image.hidden = file === null;
  if (file !== null && image.getAttribute("src") !== file) image.src = file;
}

function render() {
  const picture = pictures[chosen.picture];
  viewer.setPicture(picture.width, picture.height);
  $("absent").hidden = picture.files.some((file) => file !== null);
  root.classList.toggle("bare", !$("absent").hidden);
  $("name").textContent = picture.name;
  $("place").textContent = `${chosen.picture + 1} of ${pictures.length}, ${picture.width} × ${picture.height}`;
  for (const side of ["a", "b"]) renderSide(side);
  renderTiles(picture);
  renderScores(picture);
  renderList();
  preload();
}

function renderSide(side) {
  const column = columns[chosen[side]];
  show($(`image-${side}`), chosen[side]);
  root.querySelector(`.tag.${side}`).textContent = nameOf(chosen[side]);
  const select = $(`select-${side}`);
  select.value = chosen[side];
  for (const option of select.options) option.disabled = source(Number(option.value)) === null;
  const others = atOtherTemperatures(column);
  const slider = $(`temperature-${side}`);
  slider.parentElement.hidden = others.length < 2;
  slider.max = others.length - 1;
  slider.value = others.indexOf(chosen[side]);
  slider.setAttribute("aria-valuetext", `temperature ${column.temperature}`);
  slider.nextElementSibling.value = `τ = ${column.temperature}`;
}

/** The columns of the same model and sample, by temperature. */
function atOtherTemperatures(column) {
  const same = [...columns.keys()].filter((index) => columns[index].model === column.model && columns[index].sample === column.sample);
  return column.temperature === null ? [] : same.sort((left, right) => columns[left].temperature - columns[right].temperature);
}

function preload() {
  for (const step of [1, -1]) {
    const next = neighbour(step);
    for (const column of [chosen.a, chosen.b]) {
      const file = next === null ? null : source(column, pictures[next]);
      if (file !== null) new Image().src = file;
    }
  }
}

// --- tiles: one window a column

function makeTiles() {
  for (const [index, column] of columns.entries()) {
    const frame = element("div", { class: "frame", click: (event) => !event.detail || choose({ [event.shiftKey ? "a" : "b"]: index }) },
      element("div", { class: "layer" }, element("img", { alt: "", draggable: "false", loading: "lazy", decoding: "async" })));
    const buttons = ["a", "b"].map((side) =>
      element("button", { type: "button", class: side, "aria-label": `${column.title} as ${side.toUpperCase()}`, click: () => choose({ [side]: index }) }, side.toUpperCase()));
    const choice = element("div", { class: "choice" }, ...buttons, element("output"));
    const place = slots.findIndex((slot) => slot.includes(index)) + 1;
    const name = element("p", { title: column.title }, place < 10 ? element("span", {}, `${place} `) : "", column.title);
    $("tiles").append(element("li", {}, frame, name, choice));
  }
}

function renderTiles(picture) {
  for (const [index, tile] of [...$("tiles").children].entries()) {
    const column = columns[index];
    tile.hidden = source(index) === null || !(index === chosen.a || index === chosen.b || slots.some((slot) => slot[0] === index));
    show(tile.querySelector("img"), index);
    const values = column.setting === null ? null : picture.values[column.setting]?.[chosen.metric];
    const value = Array.isArray(values) ? values[column.sample ?? 0] : values;
    tile.querySelector("output").value = value === null ? "" : printed(value, metrics[chosen.metric]);
    for (const side of ["a", "b"]) {
      tile.classList.toggle(`is-${side}`, chosen[side] === index);
      tile.querySelector(`button.${side}`).setAttribute("aria-pressed", chosen[side] === index);
    }
  }
}

// --- the values of one picture, and one metric of all pictures

function renderScores(picture) {
  const measured = [...settings.keys()].filter((setting) => picture.values[setting]);
  const means = metrics.map((_, place) => measured.map((setting) => mean(picture.values[setting][place])));
  const marks = means.map((values, place) => bestMarks(values, metrics[place]));
  const cellsOf = (make) => byGroup.map((place) => make(metrics[place], place));
  const rows = [];
  for (const [line, setting] of measured.entries()) {
    const values = picture.values[setting];
    const samples = Math.max(...values.map((value) => (Array.isArray(value) ? value.length : 1)));
    const cells = cellsOf((metric, place) => scoreCell(means[place][line], metric, marks[place][line]));
    rows.push(scoreRow(setting, samples > 1 ? `mean of ${samples}` : "", samples > 1 ? null : 0, cells));
    const open = samples > 1 && ["a", "b"].some((side) => columns[chosen[side]].setting === setting);
    for (let sample = 0; open && sample < samples; sample += 1) {
      const own = cellsOf((metric, place) => scoreCell(Array.isArray(values[place]) ? values[place][sample] : null, metric));
      rows.push(scoreRow(setting, `sample ${sample + 1}`, sample, own));
    }
  }
  fillTable($("scores"), [["model"], ...cellsOf((metric) => [titleOf(metric), metric.direction])], rows);
}

function scoreRow(setting, detail, sample, cells) {
  const is = (side) => sample !== null && columns[chosen[side]].setting === setting && (columns[chosen[side]].sample ?? 0) === sample;
  const badges = ["a", "b"].filter(is).map((side) => element("span", { class: `badge ${side}` }, side.toUpperCase()));
  const name = element("th", { scope: "row", "data-value": `${settings[setting]} ${detail}` }, settings[setting], " ");
  if (detail) name.append(element("span", { class: "of" }, detail), " ");
  name.append(...badges);
  return element("tr", {}, name, ...cells);
}

function renderPictures() {
  const metric = metrics[chosen.metric];
  const rows = pictures.map((picture) => {
    const values = settings.map((_, setting) => mean(picture.values[setting]?.[chosen.metric]));
    const marks = bestMarks(values, metric);
    const link = element("a", { href: `#${new URLSearchParams({ image: picture.name })}` }, picture.name);
    return element("tr", {}, element("th", { scope: "row" }, link), ...values.map((value, at) => scoreCell(value, metric, marks[at])));
  });
  fillTable($("per-picture"), [["image"], ...settings.map((label) => [label, metric.direction])], rows);
  filterPictures();
}

// --- the list of pictures

function makeList() {
  for (const [index, picture] of pictures.entries()) {
    const thumbnail = element("img", { src: picture.thumbnail, alt: "", loading: "lazy", decoding: "async", width: 48, height: 48 });
    const link = element("a", { href: `#${new URLSearchParams({ image: picture.name })}`, tabindex: "-1", title: picture.name,
      click: (event) => { if (!event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); choose({ picture: index }); } } },
      thumbnail, element("span", {}, picture.name));
    $("list").append(element("li", {}, link));
  }
}

function renderList() {
  const list = $("list");
  const before = list.querySelector("[aria-current]");
  const link = list.children[chosen.picture].firstChild;
  if (before === link) return;
  before?.removeAttribute("aria-current");
  before?.setAttribute("tabindex", "-1");
  link.setAttribute("aria-current", "true");
  link.removeAttribute("tabindex");
  if (list.contains(document.activeElement)) link.focus({ preventScroll: true });
  const [box, item] = [list.getBoundingClientRect(), link.getBoundingClientRect()];
  list.scrollBy({ left: item.left - box.left - box.width / 2 + item.width / 2, top: item.top - box.top - box.height / 2 + item.height / 2 });
}

function matches(picture) {
  return picture.name.toLowerCase().includes($("filter").value.trim().toLowerCase());
}

function filterPictures() {
  const shown = new Set(pictures.filter(matches).map((picture) => picture.name));
  pictures.forEach((picture, index) => { $("list").children[index].hidden = !shown.has(picture.name); });
  for (const row of $("per-picture").tBodies[0].rows) row.hidden = !shown.has(row.cells[0].textContent);
  $("found").textContent = shown.size === pictures.length ? `${pictures.length} images` : `${shown.size} of ${pictures.length}`;
}

/** The next picture that the filter lets through, after the last the first again; null where there is none. */
function neighbour(step) {
  for (let away = 1; away < pictures.length; away += 1) {
    const index = (chosen.picture + step * away + pictures.length * away) % pictures.length;
    if (matches(pictures[index])) return index;
  }
  return null;
}

function turn(step) {
  const index = neighbour(step);
  if (index !== null) choose({ picture: index });
}

// --- buttons and keys

function swap() {
  choose({ a: chosen.b, b: chosen.a });
}

function flicker() {
  clearInterval(flickering);
  root.classList.remove("flicker", "shows-a", "shows-b");
  flickering = flickering ? 0 : setInterval(() => { root.classList.toggle("shows-a"); root.classList.toggle("shows-b"); }, FLICKER_MS);
  if (flickering) root.classList.add("flicker", "shows-a");
  $("flicker").setAttribute("aria-pressed", flickering !== 0);
  writeAddress();
}

/** Shows |A - B| four times as bright instead of the two, or these again. */
function setDifference(shown) {
  root.classList.toggle("difference", shown);
  $("difference").setAttribute("aria-pressed", shown);
  writeAddress();
}

function differ() {
  setDifference(!root.classList.contains("difference"));
}

function explainKeys() {
  const keys = root.querySelector(".keys");
  keys.open = !keys.open;
  if (keys.open) keys.querySelector("summary").focus();
}

async function copyLink() {
  await copyText(location.href.replace(/#.*$/, "") + addressPart());
  say("Link copied.");
}

const PAN = 0.1; // of the window, a key press
const KEYS = {
  ArrowLeft: () => turn(-1), ArrowRight: () => turn(1), x: swap, f: flicker, m: nextMap, d: differ, "?": explainKeys,
  "+": () => viewer.step(true), "=": () => viewer.step(true), "-": () => viewer.step(false), 0: () => viewer.look(0.5, 0.5, 1),
};
const SHIFTED_KEYS = {
  ArrowLeft: () => viewer.pan(-PAN, 0), ArrowRight: () => viewer.pan(PAN, 0), ArrowUp: () => viewer.pan(0, -PAN), ArrowDown: () => viewer.pan(0, PAN),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !$("keys").checked) return;
  if (event.target.closest("input, select, textarea, .scroll, pre")) return;
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

function wire() {
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  $("swap").addEventListener("click", swap);
  $("flicker").addEventListener("click", flicker);
  $("difference").addEventListener("click", differ);
  $("copy-link").addEventListener("click", copyLink);
  $("save-figure").addEventListener("click", saveFigure);
  $("map").addEventListener("change", () => chooseMap($("map").value));
  $("zoom-in").addEventListener("click", () => viewer.step(true));
  $("zoom-out").addEventListener("click", () => viewer.step(false));
  $("fit").addEventListener("click", () => viewer.look(0.5, 0.5, 1));
  $("filter").addEventListener("input", filterPictures);
  for (const select of metricSelects) select.addEventListener("change", () => chooseMetric(Number(select.value)));
  for (const side of ["a", "b"]) {
    $(`select-${side}`).addEventListener("change", (event) => choose({ [side]: Number(event.target.value) }));
    $(`temperature-${side}`).addEventListener("input", (event) =>
      choose({ [side]: atOtherTemperatures(columns[chosen[side]])[Number(event.target.value)] }));
  }
  document.addEventListener("keydown", onKey);
  addEventListener("hashchange", () => readAddress() && $("compare").scrollIntoView());
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const mark = () => $("theme").setAttribute("aria-pressed", document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : dark.matches);
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = $("theme").getAttribute("aria-pressed") === "true" ? "light" : "dark";
    mark();
  });
  dark.addEventListener("change", mark);
  mark();
}

for (const side of ["a", "b"]) {
  $(`select-${side}`).append(...columns.map((column, index) => element("option", { value: index }, column.title)));
}
for (const select of metricSelects) select.append(...metrics.map((metric, index) => element("option", { value: index }, titleOf(metric))));
for (const table of document.querySelectorAll("table.sortable")) if (table.tHead) makeSortable(table);
for (const id of ["scores", "per-picture"]) fillTable($(id), [["model"]], []), makeSortable($(id));
const known = maps.filter((map) => pictures.some((picture) => map.name in picture.maps));
$("map").append(...known.map((map) => element("option", { value: map.name }, `Maps: ${map.title}`)));
$("map").hidden = known.length === 0;
makeTiles();
makeList();
wire();
renderPictures();
render();
for (const table of document.querySelectorAll("table.sortable")) table.closest(".scroll").after(copyButtons(table));
if (readAddress()) $("compare").scrollIntoView();
else if (opening) open();
