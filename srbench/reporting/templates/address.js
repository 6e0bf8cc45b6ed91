// The fragment of the page's address: #image=NAME&a=COLUMN&b=COLUMN, and every choice that differs from the default.

let writing = 0;

function writeAddress() {
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", addressPart()), 150);
}

function addressPart() {
  const parts = { image: images[chosen.image].name, a: columns[chosen.a].id, b: columns[chosen.b].id };
  if (chosen.map) parts.map = chosen.map;
  if (viewer.zoom !== 1) Object.assign(parts, { x: viewer.x.toFixed(4), y: viewer.y.toFixed(4), zoom: viewer.zoom.toFixed(3) });
  if (viewer.split !== 0.5) parts.split = viewer.split.toFixed(3);
  if (chosen.metric) parts.metric = metrics[chosen.metric].name;
  if (flickering) parts.flicker = 1;
  if (root.classList.contains("difference")) parts.difference = 1;
  if (isBeside()) {
    parts.beside = 1;
    for (const side of ["c", "d"]) if (chosen[side] !== null) parts[side] = columns[chosen[side]].id;
  }
  if ($("worst").value) Object.assign(parts, { worst: $("worst").value, of: settings[Number($("worst-of").value)] });
  return `#${new URLSearchParams(parts)}`;
}

/** Applies the address; returns whether it names an image. */
function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (!parts.has("image")) return false;
  const place = (list, name, value) => list.findIndex((item) => item[name] === value);
  const named = { image: place(images, "name", parts.get("image")), a: place(columns, "id", parts.get("a")), b: place(columns, "id", parts.get("b")) };
  choose(Object.fromEntries(Object.entries(named).filter(([, index]) => index >= 0)));
  if (parts.has("map")) chooseMap(parts.get("map"));
  const [x, y, zoom] = ["x", "y", "zoom"].map((name) => Number(parts.get(name)));
  if (zoom > 0) viewer.look(x, y, zoom);
  if (parts.has("split")) viewer.setSplit(Number(parts.get("split")));
  const metric = place(metrics, "name", parts.get("metric"));
  if (metric >= 0) chooseMetric(metric);
  if (parts.has("worst")) {
    $("worst").value = parts.get("worst");
    if (settings.includes(parts.get("of"))) $("worst-of").value = settings.indexOf(parts.get("of"));
    filterImages();
  }
  if (parts.has("a")) { // otherwise the address names only an image
    if (parts.has("flicker") !== (flickering !== 0)) flicker();
    setDifference(parts.has("difference"));
    for (const side of ["c", "d"]) chosen[side] = columns.findIndex((column) => column.id === parts.get(side));
    for (const side of ["c", "d"]) if (chosen[side] < 0) chosen[side] = null;
    if (parts.has("beside") || isBeside()) setBeside(parts.has("beside"));
  }
  return true;
}
