"""A worker in ten lines, with plain redis-py: python worker.py redis://127.0.0.1:6379 mail"""
import sys
import redis

r = redis.Redis.from_url(sys.argv[1], protocol=3, decode_responses=True)
while True:
    for job in r.execute_command("JOB.FETCH", "python-1", "BLOCK", "0", "QUEUES", sys.argv[2]) or []:
        try:
            print("sending to", job["payload"], "attempt", job["attempt"], flush=True)
            r.execute_command("JOB.ACK", job["id"], job["token"], "RESULT", "sent")
        except Exception as error:
            r.execute_command("JOB.FAIL", job["id"], job["token"], "MSG", str(error))
