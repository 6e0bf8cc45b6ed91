// Tables of an index are sorted by a click on a header. Without this script they stand in their first order.
for (const table of document.querySelectorAll(".board table")) makeSortable(table);
