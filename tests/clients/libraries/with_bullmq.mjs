// BullMQ: every step of a job is a Lua script of up to a few hundred lines.
import { Queue, Worker } from "bullmq";
import { bodies, delay, host, port } from "./bodies.mjs";

const connection = { host, port: Number(port) };
let queue;

export async function enqueue(kind, number) {
  queue ??= new Queue("trial", { connection });
  queue.on("error", () => {});
  const options = { jobId: number, attempts: 5, backoff: { type: "fixed", delay: 100 } };
  await queue.add(kind, { number }, kind === "later" ? { ...options, delay } : options);
}

export async function result(number) {
  queue ??= new Queue("trial", { connection });
  const job = await queue.getJob(number);
  return job?.returnvalue;
}

export function work() {
  // What a worker held that did not renew its lock for so long goes back to the queue.
  const renewed = { lockDuration: 3000, stalledInterval: 1000, maxStalledCount: 9 };
  const worker = new Worker("trial", (job) => bodies[job.name](job.data.number), {
    connection: { ...connection, maxRetriesPerRequest: null },
    concurrency: Number(process.env.TRIAL_WIDTH ?? 2),
    ...renewed,
  });
  worker.on("error", (error) => console.error(String(error)));
}
