// Two to four columns side by side, which always show the same window.

const SIDES = ["a", "b", "c", "d"];
const WIDE_IMAGE = 1.2; // aspect ratio above which four images are larger in two rows than in one

function makeBeside() {
  for (const side of SIDES) {
    const frame = element("div", { class: "frame" }, element("div", { class: "layer" }, element("img", { alt: "", draggable: "false" })));
    viewer.gestures(frame);
    $("beside").append(element("figure", { class: side }, frame, element("figcaption", { class: "caption" })));
  }
}

function isBeside() {
  return !$("beside").hidden;
}

/** The columns shown side by side: those of A to D that are chosen and have a file. */
function besideColumns() {
  return SIDES.map((side) => [side, chosen[side]]).filter(([, column]) => column !== null && source(column) !== null);
}

function setBeside(shown) {
  if (shown) {
    stopFlicker();
    setDifference(false);
  }
  $("beside").hidden = !shown;
  $("stage").hidden = shown;
  $("side-by-side").setAttribute("aria-pressed", shown);
  root.classList.toggle("beside", shown);
  renderBeside();
  renderMarks();
  imageList.bring(chosen.image); // it may now scroll in the other direction
  if (!shown) viewer.showOn($("stage"));
  writeAddress();
}

function toggleBeside() {
  if (!isBeside() && chosen.c === null && chosen.d === null) Object.assign(chosen, freeColumns());
  setBeside(!isBeside());
}

/** The default columns beside A and B: HR, and the best other model in the chosen metric. */
function freeColumns() {
  const models = [chosen.a, chosen.b].map((column) => columns[column].model);
  const there = slots.map((slot) => slot[0]).filter((column) => source(column) !== null);
  const hr = there.find((column) => columns[column].id === "hr" && ![chosen.a, chosen.b].includes(column));
  const others = there.filter((column) => columns[column].setting !== null && !models.includes(columns[column].model));
  const worth = (column) => metrics[chosen.metric].direction * Number(valueOf(columns[column], images[chosen.image]));
  const [best] = others.sort((left, right) => worth(right) - worth(left));
  return { c: hr ?? null, d: best ?? null };
}

/** Shows the choices of C and D. */
function renderFurtherSides() {
  for (const side of ["c", "d"]) {
    const select = $(`select-${side}`);
    select.value = chosen[side] ?? "";
    select.closest(".side").hidden = !isBeside();
    for (const option of select.options) option.disabled = option.value !== "" && source(Number(option.value)) === null;
  }
}

function renderBeside() {
  renderFurtherSides();
  if (!isBeside()) return;
  const shown = new Map(besideColumns());
  const metric = metrics[chosen.metric];
  for (const side of SIDES) {
    const figure = $("beside").querySelector(`.${side}`);
    figure.hidden = !shown.has(side);
    if (figure.hidden) continue;
    const column = shown.get(side);
    show(figure.querySelector("img"), column);
    const value = valueOf(columns[column], images[chosen.image]);
    const badge = element("span", { class: `badge ${side}` }, side.toUpperCase());
    figure.lastElementChild.replaceChildren(badge, ` ${nameOf(column)}`, value === null ? "" : `, ${metric.title} ${printed(value, metric)}`);
  }
  const { width, height } = images[chosen.image];
  const inTwoRows = shown.size === 4 && width > WIDE_IMAGE * height;
  $("beside").classList.toggle("two-rows", inTwoRows);
  $("beside").style.setProperty("--across", shown.size === 3 ? 3 : 2);
  $("beside").style.setProperty("--across-wide", inTwoRows ? 2 : shown.size);
  const first = $("beside").querySelector("figure:not([hidden]) .frame");
  if (first && viewer.shown !== first) viewer.showOn(first);
}
