#!/bin/sh
# Ask for one cancellation with redis-cli: from_shell.sh UID TOKEN REFERENCE1
# REDIS_HOST, REDIS_PORT and REDIS_DB say where. The password comes in REDISCLI_AUTH: on a command
# line every user of the machine would see it.
set -eu

case $1$2$3 in
    *[[:cntrl:]\"\\]*) echo "quotes, backslashes and control characters need jq" >&2; exit 2 ;;
esac
order=$(printf '{\\"partnerTxnUid\\":\\"%s\\",\\"tokenId\\":\\"%s\\",\\"reference1\\":\\"%s\\"}' "$1" "$2" "$3")
id=$(cat /proc/sys/kernel/random/uuid)

reply=$(redis-cli -h "${REDIS_HOST:-127.0.0.1}" -p "${REDIS_PORT:-6379}" -n "${REDIS_DB:-0}" \
    -x LPUSH kplus.cancel <<MESSAGE
{"body": "[[], $order, null]",
 "content-type": "application/json",
 "content-encoding": "utf-8",
 "headers": {"id": "$id", "task": "kplus.cancel_token"},
 "properties": {}}
MESSAGE
)
case $reply in "" | *[!0-9]*) echo "Redis: $reply" >&2; exit 1 ;; esac
