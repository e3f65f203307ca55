// What the jobs do, in every Node library the same: see bodies.py, whose files these are.
import { appendFileSync, existsSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export const folder = process.env.TRIAL_DIR;
export const { hostname: host, port } = new URL(process.env.TRIAL_URL);
export const delay = 1000 * Number(process.env.TRIAL_DELAY_S);
const failures = Number(process.env.TRIAL_FAILURES);

export const note = (name, text) => appendFileSync(`${folder}/${name}`, text);
const ran = (number) => {
  note("ran", `${number} ${Date.now() / 1000}\n`);
  return number;
};

export const bodies = {
  async plain(number) {
    note("began", `${number}\n`);
    while (existsSync(`${folder}/hold`)) await sleep(20);
    return ran(number);
  },
  async flaky(number) {
    note(`tries-${number}`, ".");
    if (statSync(`${folder}/tries-${number}`).size <= failures) throw new Error(`not yet: ${number}`);
    return ran(number);
  },
  async later(number) {
    return ran(number);
  },
};
