// Tables: made from values, sorted by a click on a header. Text enters the page as text, never as markup.

/** An element with attributes (functions are listeners) and children (strings become text). */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** What a cell is sorted by. */
function sortKey(cell) {
  return keyOf(cell.dataset.value ?? cell.textContent.trim());
}

/** The number of a value; text where it is none, NaN where there is nothing. Infinity is written "inf" in the data. */
function keyOf(value) {
  const text = String(value ?? "");
  if (text === "" || text === "nan") return NaN;
  if (text === "inf") return Infinity;
  return text === "-inf" ? -Infinity : Number.isNaN(Number(text)) ? text : Number(text);
}

/** Orders two keys; numbers before texts. Cells without a value are kept out of it. */
function compareKeys(left, right) {
  if (typeof left === "string" && typeof right === "string") return left.localeCompare(right, undefined, { numeric: true });
  if (typeof left === "string") return 1;
  if (typeof right === "string") return -1;
  return left === right ? 0 : left - right;
}

/** The headers of the columns: the last row of the head, beneath that of their groups. */
function headersOf(table) {
  return [...(table.tHead?.rows[table.tHead.rows.length - 1].cells ?? [])];
}

/** The parts of a table with measured rows: those that compete, then variants. */
function measuredParts(table) {
  return [...table.tBodies].filter((body) => !body.matches(".heading, .published"));
}

/** What stands behind its key, sorted upwards or downwards; equals keep their order, what has no key ends last. */
function sortedByKey(keyed, upwards) {
  const filled = keyed.filter(([key]) => !Number.isNaN(key));
  const empty = keyed.filter(([key]) => Number.isNaN(key));
  filled.sort(([left], [right]) => (upwards ? compareKeys(left, right) : compareKeys(right, left)));
  return [...filled, ...empty].map(([, thing]) => thing);
}

/** Sorts the rows of each part of a table by one column. */
function sortRows(table, column, upwards) {
  for (const body of measuredParts(table)) body.append(...sortedByKey([...body.rows].map((row) => [sortKey(row.cells[column]), row]), upwards));
  markSorted(table, column, upwards);
}

function markSorted(table, column, upwards) {
  for (const [place, header] of headersOf(table).entries()) {
    header.setAttribute("aria-sort", place !== column ? "none" : upwards ? "ascending" : "descending");
  }
}

/** Lets every header of a table sort it: the best first, the other way with the next click. */
function makeSortable(table, sort = sortRows) {
  for (const header of headersOf(table)) header.setAttribute("aria-sort", "none");
  table.addEventListener("click", (event) => {
    const header = event.target.closest("thead button")?.parentElement;
    if (!header) return;
    const before = header.getAttribute("aria-sort");
    sort(table, header.cellIndex, before === "none" ? header.dataset.better !== "1" : before === "descending");
  });
}

/** Replaces the content of a table and keeps the order that its reader chose. Headers: [text, better] pairs. */
function fillTable(table, headers, rows) {
  const sorted = headersOf(table).find((cell) => cell.ariaSort && cell.ariaSort !== "none");
  const cells = headers.map(([text, better]) =>
    element("th", { scope: "col", "data-better": better ?? null, "aria-sort": "none" }, element("button", { type: "button" }, text)));
  table.replaceChildren(element("thead", {}, element("tr", {}, ...cells)), element("tbody", {}, ...rows));
  if (sorted && sorted.cellIndex < headers.length) sortRows(table, sorted.cellIndex, sorted.ariaSort === "ascending");
}

/** A metric's value as it is printed in every table; what is not finite is text already. */
function printed(value, metric) {
  if (value === null || value === undefined) return "–";
  return typeof value === "string" ? value : value.toFixed(metric.digits);
}

/** The mean over samples; a value of the whole set is its own mean. */
function mean(values) {
  if (!Array.isArray(values)) return values ?? null;
  const odd = values.find((value) => typeof value === "string");
  return odd ?? values.reduce((sum, value) => sum + value, 0) / values.length;
}

function scoreCell(value, metric, mark = null) {
  const text = printed(value, metric);
  return element("td", { "data-value": value ?? "" }, mark ? element(mark, {}, text) : text);
}

function titleOf(metric) {
  return `${metric.title} ${["↓", "", "↑"][metric.direction + 1]}`.trimEnd();
}

/** The tag of the best of some values ("b"), as printed; none where all are equal. What is not finite never wins. */
function bestMarks(values, metric) {
  const better = metric.direction;
  const numbers = values.map((value) => (better && typeof value === "number" ? better * Number(printed(value, metric)) : NaN));
  const ranked = numbers.filter((number) => !Number.isNaN(number));
  const best = Math.max(...ranked);
  const differ = ranked.length > 1 && ranked.some((number) => number !== best);
  return numbers.map((number) => (differ && number === best ? "b" : null));
}
