// Copying from the page: a link, tables as text, and the current window of all models as a figure.

const PANEL = 480; // width of a panel of a figure in pixels: 4 cm at 300 dpi
const MARGIN = 24;
const LINE = 34;
const PNG_HEAD = 33; // bytes of a PNG's signature and first chunk
// The chunk pHYs with its checksum (PNG, third edition, 11.3.4.3): 11811 pixels a metre, which is 300 dpi.
const DPI_300 = new Uint8Array([0, 0, 0, 9, 112, 72, 89, 115, 0, 0, 46, 35, 0, 0, 46, 35, 1, 120, 165, 63, 118]);

function say(...parts) {
  $("said").replaceChildren(...parts);
}

/** The folder of the run of a page that was opened as a file RUN/report/report.html. */
function runFolder() {
  const path = decodeURIComponent(location.pathname).replace(/^\/(?=[A-Za-z]:)/, "");
  return path.replace(/([\/\\][^\/\\]*){2}$/, "") || "/";
}

/** An argument of a command, in quotes if the shell needs them. */
function quoted(text) {
  return /^[\w@%+=:,.\/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The command that draws the models of a figure for a paper, in the square window of the image that is shown. */
function figureCommand(image, shown) {
  const models = shown.map((index) => columns[index]).filter((column) => column.setting !== null);
  const names = new Set(models.map((column) => (column.sample === null ? column.id : column.id.replace(/_\d+$/, ""))));
  const side = Math.max(1, Math.round(Math.min(image.width, image.height) / viewer.zoom));
  const [x, y] = [[viewer.x, image.width], [viewer.y, image.height]].map(([centre, length]) => Math.min(Math.max(0, Math.round(centre * length - side / 2)), length - side));
  const run = location.protocol === "file:" ? quoted(runFolder()) : "RUN";
  return `srbench figure ${run} --images ${quoted(image.name)} --models ${quoted([...names].join(","))} --crop ${x},${y},${side}`;
}

async function copyLink() {
  await copyText(location.href.replace(/#.*$/, "") + addressPart());
  const limit = location.protocol === "file:" ? " It opens on machines that have this folder at the same path." : "";
  say(`Link copied.${limit}`);
}

/** Copies text to the clipboard, through a text field if the browser denies pages access to the clipboard. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element("textarea", {});
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

/** Adds a button after a text that copies it, or the full text if it is shown abbreviated. */
function addCopyButton(shown) {
  const button = element("button", { type: "button", class: "copy-text", click: async () => { await copyText(shown.dataset.copy || shown.textContent); button.textContent = "Copied"; } }, "Copy");
  shown.after(" ", button);
}

// --- tables

/** Buttons that copy texts, which are functions by name. */
function copyButtons(texts) {
  const buttons = Object.entries(texts).map(([name, text]) =>
    element("button", { type: "button", click: async () => { await copyText(text()); done.value = `${name} copied`; } }, name));
  const done = element("output", {});
  return element("p", { class: "caption copy" }, "Copy as ", ...buttons, " ", done);
}

/** A table as CSV, in the order shown, without the badges of A and B. */
function asCsv(table) {
  const field = (cell) => {
    const copy = cell.cloneNode(true);
    for (const badge of copy.querySelectorAll(".badge")) badge.remove();
    const text = copy.textContent.trim().replace(/\s+/g, " ");
    return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = [headersOf(table), ...measuredParts(table).flatMap((body) => [...body.rows].map((row) => [...row.cells]))];
  return rows.map((row) => row.map(field).join(",")).join("\n") + "\n";
}

// --- the figure

/** Saves the current window of all tiles in a row, with PSNR and LPIPS below each, as a PNG of 300 dpi. */
async function saveFigure() {
  const image = images[chosen.image];
  const shown = [...columns.keys()].filter((index) => !$("tiles").children[index].hidden && !lacksMap(index));
  try {
    const blob = await figure(image, shown);
    const link = element("a", { href: URL.createObjectURL(blob), download: `${image.name}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser may still be reading it
    const saved = compressed ? "Figure saved, but from compressed images; for print, save it from the page in the run folder." : "Figure saved.";
    say(`${saved} For a paper, as PDF: `, element("code", {}, figureCommand(image, shown)));
  } catch (error) {
    if (location.protocol !== "file:") throw error;
    say("Browsers do not let a page that was opened as a file save its images. Save the figure from ", element("code", {}, `srbench view ${quoted(runFolder())}`), ", or draw it as PDF: ", element("code", {}, figureCommand(image, shown)));
  }
}

async function figure(image, shown) {
  const height = Math.round((PANEL * image.height) / image.width);
  const step = height + 2 * LINE + MARGIN;
  const canvas = element("canvas", { width: MARGIN + shown.length * (PANEL + MARGIN), height: MARGIN + step });
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "black";
  context.imageSmoothingEnabled = viewer.pixel < 1;
  for (const [place, index] of shown.entries()) {
    const [left, top] = [MARGIN + place * (PANEL + MARGIN), MARGIN];
    const file = new Image();
    file.src = source(index);
    await file.decode();
    const [width, tall] = [file.naturalWidth / viewer.zoom, file.naturalHeight / viewer.zoom];
    context.drawImage(file, viewer.x * file.naturalWidth - width / 2, viewer.y * file.naturalHeight - tall / 2, width, tall, left, top, PANEL, height);
    context.font = "600 24px sans-serif";
    context.fillText(nameOf(index), left, top + height + LINE - 6, PANEL);
    context.font = "22px sans-serif";
    context.fillText(valuesBeneath(image, columns[index]).join(", "), left, top + height + 2 * LINE - 8, PANEL);
  }
  const png = await new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no figure"))), "image/png"));
  return new Blob([png.slice(0, PNG_HEAD), DPI_300, png.slice(PNG_HEAD)], { type: "image/png" });
}

/** PSNR and LPIPS of the output in a panel, if measured: "PSNR 23.10" and "LPIPS 0.432". */
function valuesBeneath(image, column) {
  if (column.setting === null) return [];
  const shown = [...metrics.entries()].filter(([, metric]) => ["psnr", "lpips"].includes(metric.name));
  return shown.map(([place, metric]) => `${metric.title} ${printed(valueOf(column, image, place), metric)}`);
}
