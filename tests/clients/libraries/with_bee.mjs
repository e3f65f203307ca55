// Bee-Queue.
import Queue from "bee-queue";
import { bodies, delay, host, port } from "./bodies.mjs";

const queue = new Queue("trial", {
  redis: { host, port: Number(port), retry_strategy: () => 100 },
  activateDelayedJobs: true,
  stallInterval: 4000,
  removeOnSuccess: false,
  quitCommandClient: true,
  isWorker: process.env.TRIAL_ROLE === "work",
});
queue.on("error", (error) => console.error(String(error)));

export async function enqueue(kind, number) {
  const job = queue.createJob({ kind, number }).setId(number).retries(5).backoff("fixed", 100);
  if (kind === "later") job.delayUntil(Date.now() + delay);
  await job.save();
}

export function work() {
  queue.checkStalledJobs(1000);
  queue.process(2, (job) => bodies[job.data.kind](job.data.number));
}
