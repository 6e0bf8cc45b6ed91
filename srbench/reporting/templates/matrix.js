// Filters tables and findings by dataset, scale and model. The first visible row of a block names its dataset.
const filter = document.getElementById("filter");
filter.addEventListener("input", () => {
  const sought = filter.value.trim().toLowerCase();
  const matches = (shown) => shown.dataset.names.toLowerCase().includes(sought);
  for (const block of document.querySelectorAll(".block")) block.hidden = !matches(block);
  for (const body of document.querySelectorAll(".stacked tbody")) {
    let named = false;
    for (const row of body.rows) {
      row.hidden = !matches(row);
      row.classList.toggle("again", named);
      named ||= !row.hidden;
    }
  }
});
filter.closest("label").hidden = false;
