// An ordinary program with node-redis, in both protocols, with its client-side cache in RESP3: node_redis.mjs URL
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, createClientPool, defineScript, WatchError } from "redis";

const url = process.argv[2];
const sorted = (list) => [...list].sort();

async function values(client) {
  assert.equal(await client.set("s", "one", { expiration: { type: "EX", value: 60 } }), "OK");
  assert.equal(await client.set("s", "two", { condition: "NX" }), null);
  assert.deepEqual(await client.mGet(["s", "nothing"]), ["one", null]);
  assert.equal(await client.hSet("h", { one: 1, two: "2" }), 2);
  assert.deepEqual({ ...(await client.hGetAll("h")) }, { one: "1", two: "2" });
  assert.equal(await client.rPush("l", ["a", "b", "c"]), 3);
  assert.deepEqual(await client.lRange("l", 0, -1), ["a", "b", "c"]);
  assert.equal(await client.sAdd("x", ["a", "b"]), 2);
  assert.deepEqual(sorted(await client.sMembers("x")), ["a", "b"]);
  assert.equal(await client.zAdd("z", [{ score: 1, value: "one" }, { score: 2.5, value: "two" }]), 2);
  assert.deepEqual(await client.zRangeWithScores("z", 0, -1), [{ value: "one", score: 1 }, { value: "two", score: 2.5 }]);
  assert.equal(await client.zScore("z", "two"), 2.5);
  assert.equal(await client.geoAdd("g", { longitude: 13.361389, latitude: 38.115556, member: "Palermo" }), 1);
  assert.equal(Math.round((await client.geoPos("g", "Palermo"))[0].longitude), 13);
  assert.equal(await client.pfAdd("hll", ["a", "b"]), 1);
  assert.equal(await client.incrByFloat("f", 0.5), "0.5");
  assert.equal(await client.exists("nothing"), 0);
  await assert.rejects(client.incr("s"), /not an integer/);
  const info = await client.info("server");
  assert.match(info, /redis_version:7/);
}

async function transactions(client) {
  assert.deepEqual(await client.multi().set("a", 1).incr("a").get("a").exec(), ["OK", 2, "2"]);
  const many = Array.from({ length: 5000 }, (_, n) => client.set(`key:${n}`, n));
  assert.ok((await Promise.all(many)).every((answer) => answer === "OK"));
  const other = await client.duplicate().connect();
  await client.watch("a");
  await other.incr("a");
  await assert.rejects(client.multi().set("a", 0).exec(), WatchError);
  assert.equal(await client.get("a"), "3");
  other.destroy();
}

async function scripts(client) {
  const doubled = await createClient({
    url,
    RESP: client.options.RESP,
    scripts: {
      double: defineScript({
        NUMBER_OF_KEYS: 1,
        SCRIPT: "return redis.call('SET', KEYS[1], redis.call('GET', KEYS[1]) * 2, 'GET')",
        parseCommand: (parser, key) => parser.pushKey(key),
        transformReply: (reply) => Number(reply),
      }),
    },
  }).connect();
  assert.equal(await doubled.double("a"), 3);
  await client.scriptFlush();
  assert.equal(await doubled.double("a"), 6);
  doubled.destroy();
  const library = "#!lua name=mine\nredis.register_function('pair', function(keys, args) return {args[1], args[2]} end)";
  assert.equal(await client.functionLoad(library, { REPLACE: true }), "mine");
  assert.deepEqual(await client.fCall("pair", { arguments: ["x", "y"] }), ["x", "y"]);
}

async function publishAndSubscribe(client) {
  const listener = await client.duplicate().connect();
  const heard = [];
  await listener.subscribe("news", (message, channel) => heard.push([channel, message]));
  await listener.pSubscribe("news.*", (message, channel) => heard.push([channel, message]));
  await listener.sSubscribe("shard", (message, channel) => heard.push([channel, message]));
  await client.publish("news", "one");
  await client.publish("news.today", "two");
  await client.sPublish("shard", "three");
  while (heard.length < 3) await sleep(5);
  assert.deepEqual(heard, [["news", "one"], ["news.today", "two"], ["shard", "three"]]);
  await listener.unsubscribe();
  listener.destroy();
}

async function streamsAndBlocking(client) {
  const pool = await createClientPool({ url, RESP: client.options.RESP }, { minimum: 1, maximum: 4 }).connect();
  const popped = pool.blPop("queue", 30);
  while (!/blocked_clients:1\r/.test(await client.info("clients"))) await sleep(5);
  await client.rPush("queue", "late");
  assert.deepEqual({ ...(await popped) }, { key: "queue", element: "late" });
  await client.xGroupCreate("events", "team", "0", { MKSTREAM: true });
  const id = await client.xAdd("events", "*", { n: "1" });
  const read = await pool.xReadGroup("team", "ann", { key: "events", id: ">" }, { COUNT: 5 });
  assert.equal(JSON.stringify(read).includes(id), true);
  assert.equal((await client.xPending("events", "team")).pending, 1);
  assert.equal(await client.xAck("events", "team", id), 1);
  pool.destroy();
}

async function scans(client) {
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: "key:*", COUNT: 500 })) keys.forEach((key) => found.add(key));
  assert.equal(found.size, 5000);
}

async function clientSideCache() {
  const cache = { ttl: 0, maxEntries: 100, evictPolicy: "LRU" };
  const cached = await createClient({ url, RESP: 3, clientSideCache: cache }).connect();
  const other = await createClient({ url }).connect();
  await other.set("cached", 1);
  assert.equal(await cached.get("cached"), "1");
  const asked = async () => Number(/cmdstat_get:calls=(\d+)/.exec(await other.info("commandstats"))[1]);
  const before = await asked();
  for (let n = 0; n < 100; n++) assert.equal(await cached.get("cached"), "1");
  assert.equal(await asked(), before, "what is cached is not asked for");
  await other.set("cached", 2);
  for (let n = 0; n < 2000 && (await cached.get("cached")) !== "2"; n++) await sleep(5);
  assert.equal(await cached.get("cached"), "2");
  assert.equal(await asked(), before + 1);
  cached.destroy();
  other.destroy();
}

for (const RESP of [2, 3]) {
  const client = await createClient({ url, RESP }).connect();
  for (const part of [values, transactions, scripts, publishAndSubscribe, streamsAndBlocking, scans]) await part(client);
  await client.flushAll();
  await client.close();
}
await clientSideCache();
console.log(`node-redis ${JSON.parse(readFileSync("node_modules/redis/package.json")).version}`);
