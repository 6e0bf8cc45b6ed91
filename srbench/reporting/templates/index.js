// Makes the tables of an index sortable by a click on a header.
for (const table of document.querySelectorAll(".board table")) makeSortable(table);
