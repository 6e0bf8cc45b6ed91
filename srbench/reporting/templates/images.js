// All images: one metric of each as a table with bars, the list, and the filters that hold in both.

// --- one metric of all images

function renderImages() {
  const metric = metrics[chosen.metric];
  for (const id of ["worst", "worst-of"]) $(id).disabled = metric.direction === 0;
  const means = images.map((image) => settings.map((_, setting) => mean(image.values[setting]?.[chosen.metric])));
  const finite = means.flat().filter((value) => typeof value === "number");
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const rows = inOrder().map((index) => {
    const marks = bestMarks(means[index], metric);
    const link = element("a", { href: `#${new URLSearchParams({ image: images[index].name })}` }, images[index].name);
    const cells = means[index].map((value, at) => {
      const cell = scoreCell(value, metric, marks[at]);
      if (typeof value === "number" && high > low) {
        cell.classList.add("bar");
        cell.style.setProperty("--bar", (value - low) / (high - low));
      }
      return cell;
    });
    return element("tr", {}, element("th", { scope: "row" }, link), ...cells);
  });
  fillTable($("per-image"), [["image"], ...settings.map((label) => [label, metric.direction])], rows);
  filterImages();
}

/** Places of the images: as in the run, or the worst first where only these are asked for. */
function inOrder() {
  const worst = worstOf() ?? [];
  const rank = new Map(worst.map((index, place) => [index, place]));
  const last = worst.length; // of what has no value
  return [...images.keys()].sort((left, right) => (rank.get(left) ?? last) - (rank.get(right) ?? last));
}

// --- the worst N of a model by the chosen metric

/** Places of the images with a finite value, the worst first; null where they are not asked for. */
function worstOf() {
  const better = metrics[chosen.metric].direction;
  if (!$("worst").value || better === 0) return null;
  const value = (index) => mean(images[index].values[Number($("worst-of").value)]?.[chosen.metric]);
  return [...images.keys()].filter((index) => typeof value(index) === "number").sort((left, right) => better * (value(left) - value(right)));
}

/** Shows the worst alone, and the very worst where another image was shown. */
function chooseWorst() {
  renderWorst();
  const shown = matching();
  if (!shown.has(chosen.image) && shown.size) choose({ image: inOrder().find((index) => shown.has(index)) });
}

function renderWorst() {
  renderImages();
  writeAddress();
}

// --- the list of images

function makeList() {
  for (const [index, image] of images.entries()) {
    const thumbnail = element("img", { src: image.thumbnail, alt: "", loading: "lazy", decoding: "async", width: 48, height: 48 });
    const link = element("a", { href: `#${new URLSearchParams({ image: image.name })}`, tabindex: "-1", title: image.name,
      click: (event) => { if (!event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); choose({ image: index }); } } },
      thumbnail, element("span", {}, image.name));
    $("list").append(element("li", {}, link));
  }
}

function renderList() {
  const list = $("list");
  const before = list.querySelector("[aria-current]");
  const link = list.children[chosen.image].firstChild;
  if (before === link) return;
  before?.removeAttribute("aria-current");
  before?.setAttribute("tabindex", "-1");
  link.setAttribute("aria-current", "true");
  link.removeAttribute("tabindex");
  if (list.contains(document.activeElement)) link.focus({ preventScroll: true });
  const [box, item] = [list.getBoundingClientRect(), link.getBoundingClientRect()];
  list.scrollBy({ left: item.left - box.left - box.width / 2 + item.width / 2, top: item.top - box.top - box.height / 2 + item.height / 2 });
}

/** Places of the images that the filters let through. */
function matching() {
  const words = $("filter").value.trim().toLowerCase();
  const worst = worstOf()?.slice(0, Number($("worst").value));
  return new Set([...images.keys()].filter((index) => images[index].name.toLowerCase().includes(words) && (worst?.includes(index) ?? true)));
}

function filterImages() {
  const shown = matching();
  const names = new Set([...shown].map((index) => images[index].name));
  images.forEach((_, index) => { $("list").children[index].hidden = !shown.has(index); });
  for (const row of $("per-image").tBodies[0].rows) row.hidden = !names.has(row.cells[0].textContent);
  $("found").textContent = shown.size === images.length ? `${images.length} images` : `${shown.size} of ${images.length}`;
}

/** The next image that the filter lets through, after the last the first again; null where there is none. */
function neighbour(step) {
  const shown = matching();
  for (let away = 1; away < images.length; away += 1) {
    const index = (chosen.image + step * away + images.length * away) % images.length;
    if (shown.has(index)) return index;
  }
  return null;
}

function turn(step) {
  const index = neighbour(step);
  if (index !== null) choose({ image: index });
}
