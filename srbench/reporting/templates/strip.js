// The window in which the leading models differ most: a strip below the summary, and a mark on the whole image.

/** The square window as fractions of the image. */
function openingWindow(image) {
  const side = Math.min(image.width, image.height) / opening.zoom;
  const [wide, tall] = [side / image.width, side / image.height];
  return { left: opening.x - wide / 2, top: opening.y - tall / 2, wide, tall };
}

/** Sets the CSS variables of an element that shows or marks the window. */
function placeWindow(at, image) {
  for (const [name, share] of Object.entries(openingWindow(image))) at.style.setProperty(`--${name}`, share);
}

function openingImage() {
  return images.find((image) => image.name === opening.image);
}

/** The columns of the strip: LR, the first output of every competing model, HR. */
function stripColumns(image) {
  const place = ({ id, setting }) => (id === "lr" ? -1 : id === "hr" ? competing.length : competing.indexOf(setting));
  const isShown = (column) => (column.setting === null || competing.includes(column.setting)) && !column.sample;
  const shown = [...columns.keys()].filter((index) => isShown(columns[index]) && image.file(index) !== null);
  return shown.sort((left, right) => place(columns[left]) - place(columns[right]));
}

/** Makes the strip: the whole image with the window marked, then the window in LR, outputs and HR. Each links to the comparison. */
function makeStrip() {
  if (!opening) return;
  const image = openingImage();
  const strip = $("strip");
  const shown = stripColumns(image);
  const { x, y, zoom, a, b } = opening;
  const panel = (kind, column, title, mark = "") => {
    const file = element("img", { class: columns[column].id, src: image.file(column), alt: `${image.name}, ${title}` });
    const other = columns[column].setting === null || column === a ? b : column;
    const window = kind === "crop" ? { x: x.toFixed(4), y: y.toFixed(4), zoom: zoom.toFixed(3) } : {};
    const address = new URLSearchParams({ image: image.name, a: columns[a].id, b: columns[other].id, ...window });
    return element("a", { class: kind, href: `#${address}` }, element("span", { class: "frame" }, file, mark),
      element("span", { class: "title" }, title), element("span", { class: "values" }, kind === "crop" ? valuesBeneath(image, columns[column]).join("\n") : ""));
  };
  const reference = shown.find((index) => columns[index].id === "hr") ?? b;
  strip.firstElementChild.replaceChildren(panel("whole", reference, "whole image", element("span", { class: "window" })),
    ...shown.map((column) => panel("crop", column, columns[column].title)));
  placeWindow(strip, image);
  strip.style.setProperty("--whole", image.width / image.height);
  const titles = [a, b].filter((column) => columns[column].setting !== null).map((column) => settings[columns[column].setting]);
  strip.lastElementChild.textContent = titles.length > 1
    ? `${image.name}, where ${titles.join(" and ")} differ most.`
    : `${image.name}, where ${titles[0]} differs most from ${columns[a].title}.`;
  strip.hidden = false;
}

/** Makes the mark on the whole image, a button that zooms to the window, and the locator, which moves the window. */
function makeMarks() {
  $("spot").addEventListener("pointerdown", (event) => event.stopPropagation()); // do not drag the divider
  $("spot").addEventListener("click", () => {
    viewer.look(opening.x, opening.y, opening.zoom);
    $("divider").focus({ preventScroll: true });
  });
  if (opening) placeWindow($("spot"), openingImage());
  const locator = $("locator");
  const follow = (event) => {
    event.stopPropagation();
    if (event.type === "pointerdown") locator.setPointerCapture(event.pointerId);
    else if (!locator.hasPointerCapture(event.pointerId)) return;
    const box = locator.getBoundingClientRect();
    viewer.look((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, viewer.zoom);
  };
  for (const type of ["pointerdown", "pointermove"]) locator.addEventListener(type, follow);
}

function renderMarks() {
  $("spot").hidden = images[chosen.image].name !== opening?.image;
  show($("locator").firstElementChild, chosen.b);
  const frame = isBeside() ? $("beside").querySelector("figure:not([hidden]) .frame") : $("stage");
  if (frame && $("locator").parentElement !== frame) frame.append($("locator"));
}
