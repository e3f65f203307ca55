# An ordinary program with redis-rb, the client below Sidekiq: redis_rb.rb URL
require "redis"

URL = ARGV.fetch(0)
R = Redis.new(url: URL)

def check(found, expected) = found == expected || raise("#{found.inspect}, not #{expected.inspect}")

def refused(kind)
  yield
  raise "nothing was refused"
rescue kind => error
  error.message
end

check R.set("s", "one", ex: 60), "OK"
check R.set("s", "two", nx: true), false
check R.mapped_mget("s", "none"), { "s" => "one", "none" => nil }
check R.hset("h", { "one" => 1, "two" => 2 }), 2
check R.hgetall("h"), { "one" => "1", "two" => "2" }
check R.zadd("z", [[1.5, "a"], [2, "b"]]), 2
check R.zrange("z", 0, -1, with_scores: true), [["a", 1.5], ["b", 2.0]]
check R.zpopmax("z"), ["b", 2.0]
check R.sadd?("x", "a"), true
check R.sismember("x", "a"), true
check refused(Redis::CommandError) { R.lpush("s", 1) }, "WRONGTYPE Operation against a key holding the wrong kind of value"

check R.pipelined { |pipe| 1000.times { |n| pipe.set("key:#{n}", n) } }.uniq, ["OK"]
check R.multi { |both| both.incr("n"); both.incr("n") }, [1, 2]
other = Redis.new(url: URL)
check R.watch("n") { other.incr("n"); R.multi { |both| both.set("n", 0) } }, nil
check R.get("n"), "3"
check R.scan_each(match: "key:*").to_a.uniq.size, 1000

sha = R.script(:load, "return {KEYS[1], ARGV[1]}")
check R.evalsha(sha, keys: ["k"], argv: ["v"]), ["k", "v"]
R.script(:flush)
check refused(Redis::CommandError) { R.evalsha(sha, keys: ["k"]) }[0, 8], "NOSCRIPT"

popped = Thread.new { Redis.new(url: URL).brpop("queue", timeout: 30) }
sleep 0.01 until R.info("clients")["blocked_clients"] == "1"
R.lpush("queue", "late")
check popped.value, ["queue", "late"]

heard = []
listening = Thread.new do
  listener = Redis.new(url: URL)
  listener.subscribe("news") { |on| on.message { |_, said| said == "end" ? listener.unsubscribe : heard << said } }
end
sleep 0.01 until R.pubsub(:numsub, "news")[1] == 1
%w[one two end].each { |message| R.publish("news", message) }
listening.join(30)
check heard, %w[one two]

R.xgroup(:create, "events", "team", "0", mkstream: true)
id = R.xadd("events", { "n" => 1 })
check R.xreadgroup("team", "ann", "events", ">"), { "events" => [[id, { "n" => "1" }]] }
check R.xack("events", "team", id), 1
puts "redis-rb #{Redis::VERSION}"
