// The list of images, the table with one metric of every image, and the filters of both.

let shown = []; // indices of the images that pass the filters, in the order of the run or the worst first
let means = []; // means of the chosen metric over samples, by image and setting
let [lowest, highest] = [0, 0]; // range of the means
const imageList = new LongList($("list"), $("list"), listRow, () => element("li", { role: "presentation" }), markCurrent);
const imageRows = new LongList($("per-image").closest(".scroll"), $("per-image"), tableRow,
  () => element("tr", {}, element("td", { colspan: settings.length + 1 })));

function addressOfImage(index) {
  return `#${new URLSearchParams({ image: images[index].name })}`;
}

// --- one metric of all images

function renderImages() {
  const metric = metrics[chosen.metric];
  for (const id of ["worst", "worst-of"]) $(id).disabled = metric.direction === 0;
  means = images.map((image) => settings.map((_, setting) => mean(image.value(setting, chosen.metric))));
  const finite = means.flat().filter((value) => typeof value === "number");
  [lowest, highest] = finite.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  fillTable($("per-image"), [["image"], ...settings.map((label) => [label, metric.direction])], []);
  imageRows.list = $("per-image").tBodies[0];
  filterImages();
}

function tableRow(index) {
  const metric = metrics[chosen.metric];
  const marks = bestMarks(comparable(means[index], [...settings.keys()], metric), metric);
  const link = element("a", { href: addressOfImage(index), title: images[index].name }, images[index].name);
  const cells = means[index].map((value, at) => {
    const cell = scoreCell(value, metric, marks[at]);
    if (typeof value === "number" && highest > lowest) {
      cell.classList.add("bar");
      cell.style.setProperty("--bar", (value - lowest) / (highest - lowest));
    }
    return cell;
  });
  return element("tr", { "aria-rowindex": imageRows.places.indexOf(index) + 2 }, element("th", { scope: "row" }, link), ...cells);
}

/** Indices of the shown images in the order of the table: sorted by a header, else as in the list. */
function tableOrder() {
  const header = headersOf($("per-image")).find((cell) => cell.ariaSort !== "none");
  if (!header) return shown;
  const column = header.cellIndex;
  const key = (index) => keyOf(column === 0 ? images[index].name : means[index][column - 1]);
  return sortedByKey(shown.map((index) => [key(index), index]), header.ariaSort === "ascending");
}

function sortImages(table, column, upwards) {
  markSorted(table, column, upwards);
  renderTable();
}

function renderTable() {
  imageRows.show(tableOrder());
  $("per-image").setAttribute("aria-rowcount", shown.length + 1);
}

// --- the worst N of a model by the chosen metric

/** Indices of the images with a finite value, the worst first; null unless the worst are requested. */
function worstOf() {
  const better = metrics[chosen.metric].direction;
  if (!$("worst").value || better === 0) return null;
  const setting = Number($("worst-of").value);
  const value = (index) => means[index][setting];
  return [...images.keys()].filter((index) => typeof value(index) === "number").sort((left, right) => better * (value(left) - value(right)));
}

/** Filters the worst images, and shows the worst of all unless one of them is shown already. */
function chooseWorst() {
  filterImages();
  writeAddress();
  if (!shown.includes(chosen.image) && shown.length) choose({ image: shown[0] });
}

// --- the list of images

function listRow(index) {
  const image = images[index];
  const thumbnail = element("img", { src: image.thumbnail ?? "data:,", alt: "", decoding: "async", width: 48, height: 48 });
  const link = element("a", { href: addressOfImage(index), tabindex: "-1", title: image.name, "data-image": index,
    click: (event) => { if (!event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); choose({ image: index }); } } },
    thumbnail, element("span", {}, image.name));
  return element("li", { "aria-setsize": shown.length, "aria-posinset": imageList.places.indexOf(index) + 1 }, link);
}

/** Marks the shown image in the list. Tab stops only there, or at the first visible image if it is not in the list. */
function markCurrent() {
  const links = [...imageList.rows.values()].map((row) => row.firstChild);
  const current = links.find((link) => Number(link.dataset.image) === chosen.image);
  for (const link of links) {
    if (link === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    link.tabIndex = link === (current ?? links[0]) ? 0 : -1;
  }
  return current;
}

function renderList() {
  const hasFocus = $("list").contains(document.activeElement);
  const current = markCurrent();
  if (!current || !isInSight(current)) imageList.bring(chosen.image);
  if (hasFocus) markCurrent()?.focus({ preventScroll: true });
}

function isInSight(link) {
  const [box, item] = [$("list").getBoundingClientRect(), link.getBoundingClientRect()];
  return item.left >= box.left && item.right <= box.right && item.top >= box.top && item.bottom <= box.bottom;
}

function filterImages() {
  const words = $("filter").value.trim().toLowerCase();
  const candidates = worstOf()?.slice(0, Number($("worst").value)) ?? [...images.keys()];
  shown = candidates.filter((index) => images[index].name.toLowerCase().includes(words));
  imageList.show(shown);
  renderTable();
  $("found").textContent = shown.length === images.length ? `${images.length} images` : `${shown.length} of ${images.length}`;
}

/** The next image that passes the filters, wrapping around at the end; null if there is no other image. */
function neighbour(step) {
  const others = shown.filter((index) => index !== chosen.image);
  if (!others.length) return null;
  const place = shown.indexOf(chosen.image);
  if (place >= 0) return shown[(place + step + shown.length) % shown.length];
  const after = others.findIndex((index) => index > chosen.image); // in the order of the run, because the filters exclude it
  const from = after < 0 ? 0 : after;
  return step > 0 ? others[from] : others[(from - 1 + others.length) % others.length];
}

function turn(step) {
  const index = neighbour(step);
  if (index !== null) choose({ image: index });
}
