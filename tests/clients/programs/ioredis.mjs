// An ordinary program with ioredis: ioredis.mjs URL
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import Redis from "ioredis";

const url = process.argv[2];
const redis = new Redis(url);

async function values() {
  assert.equal(await redis.set("s", "one", "EX", 60), "OK");
  assert.equal(await redis.set("s", "two", "NX"), null);
  assert.deepEqual(await redis.mget("s", "nothing"), ["one", null]);
  const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, n) => n % 256));
  await redis.set("bytes", bytes);
  assert.ok(bytes.equals(await redis.getBuffer("bytes")));
  await redis.hset("h", { one: 1, two: "2" });
  assert.deepEqual(await redis.hgetall("h"), { one: "1", two: "2" });
  await redis.hset("h", new Map([["three", 3]]));
  assert.equal(await redis.hlen("h"), 3);
  await redis.rpush("l", ...Array.from({ length: 1000 }, (_, n) => n));
  assert.deepEqual(await redis.lrange("l", -2, -1), ["998", "999"]);
  await redis.sadd("x", "a", "b");
  assert.deepEqual((await redis.smembers("x")).sort(), ["a", "b"]);
  await redis.zadd("z", 1, "one", 2, "two");
  assert.deepEqual(await redis.zrange("z", 0, -1, "WITHSCORES"), ["one", "1", "two", "2"]);
  assert.equal(await redis.geoadd("g", 13.361389, 38.115556, "Palermo"), 1);
  assert.equal(await redis.pfadd("hll", "a", "b"), 1);
  assert.equal(await redis.incrbyfloat("f", "10.5"), "10.5");
  await assert.rejects(redis.incr("s"), { name: "ReplyError", message: "ERR value is not an integer or out of range" });
  await assert.rejects(redis.lpush("s", 1), /WRONGTYPE/);
}

async function pipelinesAndTransactions() {
  const answers = await redis.pipeline().set("a", 1).incr("a").lpush("a", 1).get("a").exec();
  assert.deepEqual(answers.map(([, answer]) => answer).filter((answer) => answer !== undefined), ["OK", 2, "2"]);
  assert.match(answers[2][0].message, /WRONGTYPE/);
  const many = redis.pipeline();
  for (let n = 0; n < 10_000; n++) many.set(`key:${n}`, n);
  assert.ok((await many.exec()).every(([error, answer]) => error === null && answer === "OK"));
  assert.deepEqual(await redis.multi().set("a", 5).incr("a").exec(), [[null, "OK"], [null, 6]]);
  await assert.rejects(redis.multi().set("a").exec(), /EXECABORT/);
  const other = redis.duplicate();
  await redis.watch("a");
  await other.incr("a");
  assert.equal(await redis.multi().set("a", 0).exec(), null);
  assert.equal(await redis.get("a"), "7");
  // Commands of one turn of the loop become one pipeline.
  const automatic = new Redis(url, { enableAutoPipelining: true });
  const got = await Promise.all(Array.from({ length: 500 }, (_, n) => automatic.get(`key:${n}`)));
  assert.deepEqual(got, Array.from({ length: 500 }, (_, n) => String(n)));
  automatic.disconnect();
  other.disconnect();
}

async function scripts() {
  redis.defineCommand("claim", {
    numberOfKeys: 2,
    lua: `local id = redis.call("RPOPLPUSH", KEYS[1], KEYS[2])
          if id then redis.call("HSET", "job:" .. id, "by", ARGV[1]) end
          return {id, redis.call("LLEN", KEYS[1])}`,
  });
  await redis.rpush("todo", "1", "2");
  assert.deepEqual(await redis.claim("todo", "doing", "ann"), ["2", 1]);
  await redis.script("FLUSH");
  assert.deepEqual(await redis.claim("todo", "doing", "bob"), ["1", 0]);
  assert.equal(await redis.hget("job:1", "by"), "bob");
  assert.deepEqual(await redis.pipeline().claim("todo", "doing", "cid").exec(), [[null, [null, 0]]]);
  const reader = new Redis(url, { scripts: { both: { lua: "return redis.call('MGET', unpack(KEYS))", readOnly: true } } });
  assert.deepEqual(await reader.both(2, "a", "s"), ["7", "one"]);
  reader.disconnect();
}

async function publishAndSubscribe() {
  const listener = redis.duplicate();
  await listener.subscribe("news");
  await listener.psubscribe("news.*");
  const heard = [];
  listener.on("message", (channel, message) => heard.push([channel, message]));
  listener.on("pmessage", (pattern, channel, message) => heard.push([pattern, channel, message]));
  assert.equal(await redis.publish("news", "one"), 1);
  await redis.publish("news.today", "two");
  while (heard.length < 2) await sleep(5);
  assert.deepEqual(heard, [["news", "one"], ["news.*", "news.today", "two"]]);
  assert.equal(await listener.unsubscribe("news"), 1);
  listener.disconnect();
}

async function blockingAndStreams() {
  const waiter = redis.duplicate();
  const popped = waiter.blpop("queue", 30);
  const until = async (field) => {
    while (!new RegExp(`${field}:1\r`).test(await redis.info("clients"))) await sleep(5);
  };
  await until("blocked_clients");
  await redis.rpush("queue", "late");
  assert.deepEqual(await popped, ["queue", "late"]);
  await redis.xgroup("CREATE", "events", "team", "$", "MKSTREAM");
  const read = waiter.xreadgroup("GROUP", "team", "ann", "BLOCK", 30000, "STREAMS", "events", ">");
  await until("blocked_clients");
  const id = await redis.xadd("events", "*", "n", "1");
  assert.deepEqual(await read, [["events", [[id, ["n", "1"]]]]]);
  assert.equal((await redis.xpending("events", "team"))[0], 1);
  assert.equal(await redis.xack("events", "team", id), 1);
  waiter.disconnect();
}

async function scans() {
  let found = 0;
  for await (const keys of redis.scanStream({ match: "key:*", count: 500 })) found += keys.length;
  assert.equal(found, 10_000);
  await redis.hset("wide", Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`f${n}`, n])));
  let fields = 0;
  for await (const part of redis.hscanStream("wide")) fields += part.length / 2;
  assert.equal(fields, 2000);
}

async function connections() {
  const watcher = redis.duplicate();
  // A new connection asks for INFO. Were that still to come, MONITOR would show it; and ioredis, whoever the server is,
  // throws when it reads a line of MONITOR together with the OK.
  await watcher.ping();
  const monitor = await watcher.monitor();
  const seen = once(monitor, "monitor");
  await redis.set("watched", 1);
  assert.deepEqual((await seen)[1], ["set", "watched", "1"]);
  monitor.disconnect();
  watcher.disconnect();
  // A connection that is cut comes back, in its database, with its subscriptions, and sends what was not sent.
  const stays = new Redis(url, { db: 3, connectionName: "stays", retryStrategy: () => 20 });
  await stays.set("here", 1);
  const id = await stays.client("ID");
  const closed = once(stays, "close");
  await redis.client("KILL", "ID", id);
  await closed;
  assert.equal(await stays.get("here"), "1");
  assert.equal(await stays.client("GETNAME"), "stays");
  stays.disconnect();
}

for (const part of [values, pipelinesAndTransactions, scripts, publishAndSubscribe, blockingAndStreams, scans, connections]) {
  await part();
}
await redis.quit();
console.log(`ioredis ${JSON.parse(readFileSync("node_modules/ioredis/package.json")).version}`);
