"use strict";
// Questions within the page. Votes are kept by the browser until they are saved as a file.

const ballot = JSON.parse($("contents").textContent);
const KEPT = `srbench-votes-${ballot.ballot}`;

class Kept {
  constructor() {
    Object.assign(this, { rater: "", votes: {} }, this.known()); // votes by rater
    this.thanks = "Thank you: all questions are answered. Save your votes and send the file to whoever asked you.";
    $("save").addEventListener("click", () => this.save());
  }

  /** Votes that this browser has kept; none if it keeps nothing. */
  known() {
    try {
      return JSON.parse(localStorage.getItem(KEPT));
    } catch {
      return null;
    }
  }

  next() {
    const done = this.votes[this.rater]?.length ?? 0;
    $("saving").hidden = !Object.keys(this.votes).length;
    return { done, of: ballot.questions.length, rater: this.rater, ...ballot.questions[done] };
  }

  async begin(name) {
    this.rater = name.trim().replace(/\s+/g, " ");
    if (!this.rater) throw new Error("Give a name");
    return this.next();
  }

  async answer(question, choice) {
    const at = `${new Date().toISOString().slice(0, 19)}+00:00`;
    (this.votes[this.rater] ??= []).push({ rater: this.rater, at, question: question.question, choice });
    this.keep();
    return this.next();
  }

  keep() {
    try {
      localStorage.setItem(KEPT, JSON.stringify({ rater: this.rater, votes: this.votes }));
    } catch {
      $("saved").textContent = "This browser keeps nothing: save before you reload.";
    }
  }

  address(question, side) {
    return ballot.images[question.images[side]];
  }

  async fault() {
    return "an image of this file is damaged";
  }

  leave() {
    this.rater = "";
    this.keep();
  }

  /** Saves the votes of all who voted in this browser. */
  save() {
    const votes = Object.values(this.votes).flat();
    const names = Object.keys(this.votes).join("-").replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify({ format: ballot.format, votes })], { type: "application/json" }));
    link.download = `votes-${names}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser may still be reading it
    $("saved").textContent = `Saved ${votes.length} votes as ${link.download}.`;
  }
}

const source = new Kept();
const page = new Page(source);
if (source.rater) page.begin(source.rater);
else page.ask();
