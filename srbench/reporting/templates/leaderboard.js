// Filters and order of a leaderboard. Without this script all rows are there, in the order of their ranks.

const field = (name) => document.getElementById(name);
const boards = [...document.querySelectorAll(".board")];
const fields = ["search", "dataset", "scale", "suite", "verified"].map(field);

/** The text of a row that a search looks in: with the title and the columns of its table. */
function textOf(board, row) {
  return [board.querySelector("h2"), board.querySelector("thead"), row].map((part) => part.textContent).join(" ").toLowerCase();
}

const rows = boards.flatMap((board) => measuredParts(board.querySelector("table")).flatMap((body) => [...body.rows])
  .map((row) => ({ board, row, text: textOf(board, row) })));

function fits(board) {
  const { dataset, scale, suite } = board.dataset;
  return (!field("dataset").value || JSON.parse(dataset).includes(field("dataset").value)) &&
    (!field("scale").value || scale === field("scale").value) && (!field("suite").value || suite === field("suite").value);
}

function filter() {
  const words = field("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = new Map(boards.map((board) => [board, 0]));
  const open = new Set(boards.filter(fits));
  for (const { board, row, text } of rows) {
    const is = open.has(board) && (!field("verified").checked || row.dataset.state === "verified") && words.every((word) => text.includes(word));
    row.hidden = !is;
    if (is) shown.set(board, shown.get(board) + 1);
  }
  for (const [board, count] of shown) {
    board.hidden = count === 0;
    for (const heading of board.querySelectorAll(".heading:not(:has(+ .published))")) heading.hidden = ![...(heading.nextElementSibling?.rows ?? [])].some((row) => !row.hidden);
  }
  const total = [...shown.values()].reduce((sum, count) => sum + count, 0);
  field("found").value = `${total} of ${rows.length} rows`;
}

for (const board of boards) makeSortable(board.querySelector("table"));
for (const one of fields) one.addEventListener("input", filter);
field("filters").addEventListener("submit", (event) => event.preventDefault());
field("filters").hidden = false;
filter();
