// The choices made on the page, and the elements that show them. The address encodes the choices, so links can be shared.

const $ = (id) => document.getElementById(id);
const FLICKER_MS = 500; // two changes per second are below rates that may cause seizures
const root = document.querySelector(".viewer");
const slots = makeSlots();
const chosen = { image: 0, a: 0, b: slots.findLast((slot) => !columns[slot[0]].sample)[0], c: null, d: null, metric: 0, map: "" };
const byGroup = [...metrics.keys()].sort((left, right) => metrics[left].group_place - metrics[right].group_place);
const metricSelects = document.querySelectorAll("select.metric");
let flickering = 0;

const viewer = new Viewer(root, $("stage"), $("divider"), () => writeAddress());

// --- slots: positions among the tiles. A slot has the columns of a model's sample at all temperatures, the shown one first

function makeSlots() {
  const groups = new Map();
  for (const [index, column] of columns.entries()) {
    const key = column.temperature === null ? index : JSON.stringify([column.model, column.sample]);
    groups.set(key, [...(groups.get(key) ?? []), index]);
  }
  const competes = (index) => competing.includes(columns[index].setting);
  return [...groups.values()].map((slot) => slot.sort((left, right) => competes(right) - competes(left)));
}

/** Shows all samples of a column's model at the column's temperature. */
function bringToFront(index) {
  const { model, temperature } = columns[index];
  for (const slot of slots) {
    if (columns[slot[0]].model === model) slot.sort((left, right) => (columns[right].temperature === temperature) - (columns[left].temperature === temperature));
  }
}

// --- choices

function choose(changes) {
  const before = chosen.image;
  Object.assign(chosen, changes);
  for (const side of SIDES) if (changes[side] !== undefined && changes[side] !== null) bringToFront(changes[side]);
  if (chosen.image !== before) viewer.look(viewer.x, viewer.y, viewer.zoom);
  render();
  writeAddress();
}

function chooseMetric(metric) {
  chosen.metric = metric;
  for (const select of metricSelects) select.value = metric;
  renderImages();
  renderTiles(images[chosen.image]);
  renderBeside();
  writeAddress();
}

/** Shows the first view: the whole image in which the two leading models differ most. */
function open() {
  const { image: name, a, b } = opening;
  choose({ image: images.findIndex((image) => image.name === name), a, b });
  clearTimeout(writing); // the user chose nothing, so the address stays as it is
}

/** Shows maps of a kind instead of images, for columns that have them. */
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
  const options = [...$("map").options].filter((option) => !option.disabled);
  if (!$("map").hidden) chooseMap(options[(options.indexOf($("map").selectedOptions[0]) + 1) % options.length].value);
}

function source(column, image = images[chosen.image]) {
  return mapOf(column, image) ?? image.file(column);
}

function mapOf(column, image = images[chosen.image]) {
  return chosen.map === "" ? null : image.map(chosen.map, column);
}

/** Whether maps are shown and this output has none. LR and HR are always shown as images. */
function lacksMap(column) {
  return chosen.map !== "" && columns[column].setting !== null && mapOf(column) === null;
}

/** The title of a column, and the kind of map shown. */
function nameOf(column) {
  if (lacksMap(column)) return `${columns[column].title}: no map`;
  return mapOf(column) === null ? columns[column].title : `${columns[column].title}: ${maps.find((map) => map.name === chosen.map).title}`;
}

function show(image, column) {
  const file = source(column);
  const alternative = `${images[chosen.image].name}, ${nameOf(column)}`;
  image.classList.toggle("lr", columns[column].id === "lr");
  image.classList.toggle("no-map", lacksMap(column));
  image.alt = alternative;
  image.hidden = file === null;
  if (file !== null && image.getAttribute("src") !== file) image.src = file;
}

function render() {
  const image = images[chosen.image];
  viewer.setImage(image.width, image.height);
  $("absent").hidden = image.hasFiles();
  root.classList.toggle("bare", !$("absent").hidden);
  $("name").textContent = image.name;
  $("place").textContent = `${chosen.image + 1} of ${images.length}, ${image.width} × ${image.height}`;
  for (const side of ["a", "b"]) renderSide(side);
  for (const option of $("map").options) option.disabled = option.value !== "" && !image.hasMap(option.value);
  renderTiles(image);
  renderBeside();
  renderMarks();
  renderScores(image);
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

/** The columns of the same model and sample, by rising temperature. */
function atOtherTemperatures(column) {
  const same = [...columns.keys()].filter((index) => columns[index].model === column.model && columns[index].sample === column.sample);
  return column.temperature === null ? [] : same.sort((left, right) => columns[left].temperature - columns[right].temperature);
}

function preload() {
  for (const step of [1, -1]) {
    const next = neighbour(step);
    for (const column of [chosen.a, chosen.b]) {
      const file = next === null ? null : source(column, images[next]);
      if (file !== null) new Image().src = file;
    }
  }
}

// --- tiles: one window per column

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

function renderTiles(image) {
  for (const [index, tile] of [...$("tiles").children].entries()) {
    const column = columns[index];
    tile.hidden = source(index) === null || !(index === chosen.a || index === chosen.b || slots.some((slot) => slot[0] === index));
    show(tile.querySelector("img"), index);
    tile.querySelector("output").value = column.setting === null ? "" : printed(valueOf(column, image), metrics[chosen.metric]);
    for (const side of ["a", "b"]) {
      tile.classList.toggle(`is-${side}`, chosen[side] === index);
      tile.querySelector(`button.${side}`).setAttribute("aria-pressed", chosen[side] === index);
    }
  }
}

/** The value of an output, by default of the chosen metric; null for LR and HR. */
function valueOf(column, image, metric = chosen.metric) {
  const values = column.setting === null ? null : image.value(column.setting, metric);
  return (Array.isArray(values) ? values[column.sample ?? 0] : values) ?? null;
}

// --- the values of one image

function renderScores(image) {
  const valuesOf = settings.map((_, setting) => metrics.map((_, place) => image.value(setting, place)));
  const measured = [...settings.keys()].filter((setting) => valuesOf[setting].some((value) => value !== null));
  const means = metrics.map((_, place) => measured.map((setting) => mean(valuesOf[setting][place])));
  const marks = means.map((values, place) => bestMarks(comparable(values, measured, metrics[place]), metrics[place]));
  const cellsOf = (make) => byGroup.map((place) => make(metrics[place], place));
  const rows = [];
  for (const [line, setting] of measured.entries()) {
    const values = valuesOf[setting];
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
