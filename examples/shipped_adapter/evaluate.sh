#!/bin/sh
# The figures of the package's adapter, or of another one: a report a file and a match, for `hotseat compare`.
#
#   sh evaluate.sh DATA REPORTS [ADAPTER] [MODES]
#
# DATA is where `sh data.sh test DATA` has written. A report that is there is not made again, so what was interrupted
# goes on. One process uses one GPU (CUDA_VISIBLE_DEVICES). Several on one GPU hold each other up: they share its time,
# and hardly its cores.
set -eu
data=$1
reports=$2
adapter=${3:-packaged}
modes=${4:-full,star,star:unmoved}
mkdir -p "$reports"

# report NAME WORDS...
report() {
    file=$reports/$1.json
    shift
    [ -e "$file" ] || { hotseat evaluate "$@" --adapter "$adapter" --out "$file.part" && mv "$file.part" "$file"; }
}

for file in "$data"/gamecore-*.jsonl.gz "$data"/passages-test.jsonl.gz "$data"/demonstrations-*.jsonl.gz; do
    report "$(basename "$file" .jsonl.gz)" "$file" --modes "$modes" --row-tokens "${ROW_TOKENS:-65536}"
done
report held-out --text held-out --modes full
played=${modes%%,star:unmoved}
for game in tic_tac_toe leduc texas_holdem connect_four; do
    for opponent in random expert; do
        report "$game-$opponent" --game $game --opponent $opponent --modes "$played" --matches "${MATCHES:-4000}" \
            --at-once 256 --pool-mib "${POOL_MIB:-4096}" --no-agreement
    done
done
