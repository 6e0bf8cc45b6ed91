// Tables: made from values, and sorted by a click on a header. Text is inserted as text, never as markup.

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

/** The sort key of a cell. */
function sortKey(cell) {
  return keyOf(cell.dataset.value ?? cell.textContent.trim());
}

/** The sort key of a value: a number if possible, else the text; NaN if empty. The data spell Infinity "inf". */
function keyOf(value) {
  const text = String(value ?? "");
  if (text === "" || text === "nan") return NaN;
  if (text === "inf") return Infinity;
  return text === "-inf" ? -Infinity : Number.isNaN(Number(text)) ? text : Number(text);
}

/** Compares two sort keys, numbers before texts; NaN must be excluded before. */
function compareKeys(left, right) {
  if (typeof left === "string" && typeof right === "string") return left.localeCompare(right, undefined, { numeric: true });
  if (typeof left === "string") return 1;
  if (typeof right === "string") return -1;
  return left === right ? 0 : left - right;
}

/** The headers of the columns: the last row of the head, below the groups. */
function headersOf(table) {
  return [...(table.tHead?.rows[table.tHead.rows.length - 1].cells ?? [])];
}

/** The bodies of a table with measured rows: competing models, then variants. */
function measuredParts(table) {
  return [...table.tBodies].filter((body) => !body.matches(".heading"));
}

/** Sorts [key, item] pairs and returns the items; the sort is stable, and NaN keys come last. */
function sortedByKey(keyed, upwards) {
  const filled = keyed.filter(([key]) => !Number.isNaN(key));
  const empty = keyed.filter(([key]) => Number.isNaN(key));
  filled.sort(([left], [right]) => (upwards ? compareKeys(left, right) : compareKeys(right, left)));
  return [...filled, ...empty].map(([, item]) => item);
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

/** Makes a table sortable by its headers: the best first, reversed by the next click. */
function makeSortable(table, sort = sortRows) {
  for (const header of headersOf(table)) header.setAttribute("aria-sort", "none");
  table.addEventListener("click", (event) => {
    const header = event.target.closest("thead button")?.parentElement;
    if (!header) return;
    const before = header.getAttribute("aria-sort");
    sort(table, header.cellIndex, before === "none" ? header.dataset.better !== "1" : before === "descending");
  });
}

/** Replaces the content of a table, but keeps the chosen order. Headers are [text, better] pairs. */
function fillTable(table, headers, rows) {
  const sorted = headersOf(table).find((cell) => cell.ariaSort && cell.ariaSort !== "none");
  const cells = headers.map(([text, better]) =>
    element("th", { scope: "col", "data-better": better ?? null, "aria-sort": "none" }, element("button", { type: "button" }, text)));
  table.replaceChildren(element("thead", {}, element("tr", {}, ...cells)), element("tbody", {}, ...rows));
  if (sorted && sorted.cellIndex < headers.length) sortRows(table, sorted.cellIndex, sorted.ariaSort === "ascending");
}

/** Formats a value with the digits of its metric, zero without a sign; non-finite values are strings already. */
function printed(value, metric) {
  if (value === null || value === undefined) return "–";
  return typeof value === "string" ? value : value.toFixed(metric.digits).replace(/^-(?=[0.]+$)/, "");
}

/** The mean over samples; a value of all samples is returned as it is. */
function mean(values) {
  if (!Array.isArray(values)) return values ?? null;
  const nonFinite = values.find((value) => typeof value === "string");
  return nonFinite ?? values.reduce((sum, value) => sum + value, 0) / values.length;
}

function scoreCell(value, metric, mark = null) {
  const text = printed(value, metric);
  return element("td", { "data-value": value ?? "" }, mark ? element(mark, {}, text) : text);
}

function titleOf(metric) {
  return `${metric.title} ${["↓", "", "↑"][metric.direction + 1]}`.trimEnd();
}

/** For each value "b" if it is the best as printed, else null; all null if all are equal. Non-finite values never win. */
function bestMarks(values, metric) {
  const better = metric.direction;
  const numbers = values.map((value) => (better && typeof value === "number" ? better * Number(printed(value, metric)) : NaN));
  const ranked = numbers.filter((number) => !Number.isNaN(number));
  const best = Math.max(...ranked);
  const differ = ranked.length > 1 && ranked.some((number) => number !== best);
  return numbers.map((number) => (differ && number === best ? "b" : null));
}
