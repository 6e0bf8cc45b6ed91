"use strict";
// Questions and votes of a served page. The browser keeps the rater's name alone; all else is kept by the server.

const KEPT = "srbench-rater";

/** Uses what the browser keeps; null where it keeps nothing. */
function kept(use) {
  try {
    return use(localStorage);
  } catch {
    return null;
  }
}

class Served {
  constructor() {
    this.rater = kept((storage) => storage.getItem(KEPT)) ?? "";
    this.thanks = "Thank you: all questions are answered, and your votes are saved. You may close this page.";
  }

  async asked(address, request = {}) {
    let answer, facts;
    try {
      answer = await fetch(address, request);
      facts = await answer.json();
    } catch {
      throw new Error("srbench does not answer; is it still running?");
    }
    if (!answer.ok) throw new Error(facts.error ?? `srbench says ${answer.status}`);
    return facts;
  }

  async begin(name) {
    const question = await this.asked(`next?${new URLSearchParams({ rater: name })}`);
    this.rater = question.rater;
    kept((storage) => storage.setItem(KEPT, this.rater));
    return question;
  }

  answer(question, choice) {
    const body = JSON.stringify({ rater: this.rater, question: question.id, choice });
    return this.asked("vote", { method: "POST", headers: { "X-Srbench": "vote" }, body });
  }

  address(question, side) {
    return `image?${new URLSearchParams({ rater: this.rater, question: question.id, side })}`;
  }

  /** Reason for which an image did not come. */
  async fault(address) {
    try {
      await this.asked(address);
    } catch (error) {
      return error.message;
    }
    return "an image could not be shown";
  }

  leave() {
    kept((storage) => storage.removeItem(KEPT));
  }
}

const source = new Served();
const page = new Page(source);
if (source.rater) page.begin(source.rater);
else page.ask();
