// The tables of a leaderboard: sorted by a click on a header, block by block, and filtered by dataset, scale, model and run; and
// the strips.
for (const table of document.querySelectorAll(".leaderboard table")) makeSortable(table);

for (const strip of document.querySelectorAll(".strip")) {
  for (const [name, share] of Object.entries(JSON.parse(strip.dataset.window))) strip.style.setProperty(`--${name}`, share);
}

const filter = document.getElementById("filter");
filter.addEventListener("input", () => {
  const sought = filter.value.trim().toLowerCase();
  const matches = (shown) => shown.dataset.names.toLowerCase().includes(sought);
  for (const shown of document.querySelectorAll("[data-names]")) shown.hidden = !matches(shown);
  for (const heading of document.querySelectorAll(".heading")) {
    let body = heading.nextElementSibling;
    let isEmpty = true;
    for (; body && isEmpty && !body.matches(".place"); body = body.nextElementSibling) {
      isEmpty = ![...body.querySelectorAll("[data-names]")].some((row) => !row.hidden);
    }
    heading.hidden = isEmpty;
  }
});
filter.closest("label").hidden = false;
