// Bull, which came before BullMQ.
import Bull from "bull";
import { bodies, delay } from "./bodies.mjs";

const settings = { lockDuration: 3000, stalledInterval: 1000, maxStalledCount: 9, retryProcessDelay: 200 };
const queue = new Bull("trial", process.env.TRIAL_URL, { settings });
queue.on("error", (error) => console.error(String(error)));

export async function enqueue(kind, number) {
  const options = { jobId: number, attempts: 5, backoff: { type: "fixed", delay: 100 } };
  await queue.add(kind, { number }, kind === "later" ? { ...options, delay } : options);
}

export async function result(number) {
  return (await queue.getJob(number))?.returnvalue;
}

export function work() {
  for (const kind of ["plain", "flaky", "later"]) queue.process(kind, (job) => bodies[kind](job.data.number));
}
