#!/bin/sh
# A worker with nothing but redis-cli: worker.sh PORT QUEUE. For commands as jobs there is `pbj worker`.
set -u
while :; do
  # Without a terminal redis-cli writes one value per line: id, its value, token, its value, ...
  job=$(redis-cli -p "$1" JOB.FETCH "shell-$$" BLOCK 0 QUEUES "$2") || exit 1
  field() { printf '%s\n' "$job" | grep -A1 -x "$1" | tail -1; }
  echo "sending to $(field payload) attempt $(field attempt)"
  redis-cli -p "$1" JOB.ACK "$(field id)" "$(field token)" RESULT sent > /dev/null
done
