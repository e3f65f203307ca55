"""Jobs and data in one transaction: python producer.py redis://127.0.0.1:6379 mail ada@example.com"""
import sys
import redis

r = redis.Redis.from_url(sys.argv[1], decode_responses=True)
with r.pipeline(transaction=True) as both:
    both.hset("order:7", mapping={"buyer": sys.argv[3], "state": "paid"})
    both.execute_command("JOB.PUSH", sys.argv[2], "send", sys.argv[3], "ATTEMPTS", "5")
    print(both.execute()[1])
