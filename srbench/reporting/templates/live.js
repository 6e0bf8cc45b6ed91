// Follows a run that is still going: asks for what is new once a second, and changes only the cells that differ.
const at = (id) => document.getElementById(id);
const SECOND = 1000;
const [NAME, MOST] = [document.title, Number(at("rows").dataset.most)];
let [reading, next, etag, ends, told, asking] = [0, 0, "", null, null, false];

const duration = (seconds) => {
  const whole = Math.round(seconds), minutes = Math.floor(whole / 60);
  if (whole < 60) return `${whole} s`;
  if (minutes >= 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return minutes < 10 && whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
};

const write = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

// Cells of a row, made where there are none; the first `heads` name the row.
const fill = (row, texts, heads) => {
  texts.forEach((text, place) => {
    if (!row.cells[place]) {
      const cell = row.appendChild(document.createElement(place < heads ? "th" : "td"));
      if (place < heads) cell.scope = row.parentElement.tagName === "THEAD" ? "col" : "row";
    }
    write(row.cells[place], text);
  });
  while (row.cells.length > texts.length) row.lastChild.remove();
};

const arrived = (row) => {
  const line = document.createElement("tr");
  at("rows").tBodies[0].prepend(line);
  fill(line, [row.image, row.setting, ...(row.error ? [] : row.values)], 2);
  if (row.file) {
    const link = document.createElement("a");
    Object.assign(link, { href: row.file, target: "_blank", textContent: row.image });
    line.cells[0].replaceChildren(link);
  }
  if (row.error) {
    const cell = line.appendChild(document.createElement("td"));
    Object.assign(cell, { className: "failed", colSpan: row.values.length, textContent: `failed: ${row.error}` });
  }
};

const show = (news) => {
  const [means, rows] = [at("means"), at("rows")];
  if (news.reading !== reading) rows.tBodies[0].replaceChildren();
  [reading, next] = [news.reading, news.next];
  const head = (table) => table.tHead.rows[0] ?? table.tHead.insertRow();
  fill(head(means), ["model", ...news.metrics, "n"], 99);
  fill(head(rows), ["image", "model", ...news.metrics], 99);
  news.settings.forEach((setting, place) => {
    const body = means.tBodies[0];
    fill(body.rows[place] ?? body.insertRow(), [setting, ...news.means[place]], 1);
  });
  news.rows.forEach(arrived);
  while (rows.tBodies[0].rows.length > MOST) rows.tBodies[0].lastElementChild.remove();
  at("report").hidden = !news.done;
  at("progress").max = Math.max(news.asked, 1);
  at("progress").value = news.done;
  ends = news.left === null ? null : Date.now() + news.left * SECOND;
  told = news;
};

const say = (fault) => {
  at("state").setAttribute("aria-busy", !fault && told?.state === "measuring"); // the time left is not read out every second
  if (fault || !told) return write(at("state"), fault || "Reading …");
  const left = ends === null ? "" : `, about ${duration(Math.max(ends - Date.now(), 0) / SECOND)} left with the report`;
  const counted = `${told.done} of ${told.asked} outputs measured`;
  write(at("state"), told.state === "measuring" ? `${counted}${left}.` : `${counted}. The run has ended; its page is being made.`);
  document.title = `${Math.floor((100 * told.done) / Math.max(told.asked, 1))} % ${NAME}`;
};

const poll = async () => {
  if (asking) return;
  asking = true;
  try {
    const address = `.live/rows?reading=${reading}&after=${next}`;
    const answer = await fetch(address, { cache: "no-store", headers: etag ? { "If-None-Match": etag } : {} });
    if (answer.status === 200) {
      etag = answer.headers.get("ETag");
      show(await answer.json());
    } else if (answer.status !== 304) return say(`${await answer.text()} The page goes on when that is mended.`);
    if (told.state === "finished") return location.reload();
    say("");
  } catch {
    say("srbench view has ended, or cannot be reached. Run it again to follow the run.");
  } finally {
    asking = false;
  }
};

const follow = async () => {
  if (!document.hidden) await poll();
  if (told?.state !== "finished") setTimeout(follow, SECOND);
};
document.addEventListener("visibilitychange", () => document.hidden || poll());
follow();
