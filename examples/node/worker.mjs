// A worker with plain ioredis: node worker.mjs redis://127.0.0.1:6379 mail
import Redis from "ioredis";

const redis = new Redis(process.argv[2]);
for (;;) {
  const jobs = await redis.call("JOB.FETCH", "node-1", "BLOCK", "0", "QUEUES", process.argv[3]);
  for (const pairs of jobs ?? []) {
    // RESP2 has no maps: name, value, name, value.
    const job = Object.fromEntries(pairs.flatMap((name, n) => (n % 2 ? [] : [[name, pairs[n + 1]]])));
    try {
      console.log("sending to", job.payload, "attempt", job.attempt);
      await redis.call("JOB.ACK", job.id, job.token, "RESULT", "sent");
    } catch (error) {
      await redis.call("JOB.FAIL", job.id, job.token, "MSG", String(error));
    }
  }
}
