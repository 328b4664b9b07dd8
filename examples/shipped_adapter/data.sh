#!/bin/sh
# The data that the package's adapter was tuned on, and those that it is measured on, as files of samples.
#
#   sh data.sh train FOLDER     what the first run learns from; the conversations, which come last, want a GPU
#   sh data.sh again FOLDER     what the second run learns from
#   sh data.sh test FOLDER      what is measured
#
# WORKERS processes make a file (default: 2). A file that is there is not made again. With PERMILLE=10 there is a
# hundredth of everything, to look at, and with NO_CHAT=1 there are no conversations.
set -eu
what=$1
folder=$2
workers=${WORKERS:-2}
mkdir -p "$folder"

# some of N: as many as PERMILLE says, and one at least
some() { echo $((($1 * ${PERMILLE:-1000} + 999) / 1000)); }

# make FILE KIND OPTIONS...
make() {
    file=$folder/$1.jsonl.gz
    shift
    [ -e "$file" ] || hotseat data "$@" --out "$file" --json
}

# What is easy is asked less often; quest is in no training data.
kinds() {
    echo "unit_fact,reverse=1.5,rules_and_unit=0.7,linked=2.5,comparison,counting=$1,decision=0.3,errand=0.5,rules_errand=0.5,linked_errand"
}
writing="--writing prose,json,renamed,lines --workers $workers"
# Experts meet players of every kind: from one that errs in a twentieth of its moves to one that knows nothing.
astray="--wander 0.05,0.3,1 --persona mixed --workers $workers"

case $what in
train)
    make large gamecore --samples "$(some 3400)" --seed 151 --blocks 64-400 --asks 160 --kinds "$(kinds 2.5)" $writing
    make long gamecore --samples "$(some 2200)" --seed 152 --blocks 16-250 --block-tokens 40-80 --asks 128 \
        --kinds "$(kinds 2.5)" $writing
    make small gamecore --samples "$(some 12000)" --seed 153 --blocks 8-64 --asks 64 --kinds "$(kinds 2.5)" $writing
    make passages passages --samples "$(some 1500)" --seed 54 --workers "$workers"
    make demonstrations demonstrations --samples "$(some 12000)" --seed 55 --kinds label=3,transform=2,vocabulary \
        --workers "$workers"
    make tic_tac_toe games --game tic_tac_toe --episodes "$(some 3000)" --seed 61 --each-once $astray
    make leduc games --game leduc --episodes "$(some 3000)" --seed 62 $astray
    make texas_holdem games --game texas_holdem --episodes "$(some 2600)" --seed 63 $astray
    make connect_four games --game connect_four --episodes "$(some 2600)" --seed 64 --each-once $astray
    # 232 conversations were used, which is what 64 seconds of an H200 came to.
    [ -n "${NO_CHAT:-}" ] || make chat chat --samples "$(some 232)" --seed 9 --at-once 1024
    ;;
again)
    bare="--bare-quests 0.75 $writing"
    make large-again gamecore --samples "$(some 2600)" --seed 171 --blocks 64-400 --asks 160 --kinds "$(kinds 3)" $bare
    make long-again gamecore --samples "$(some 1700)" --seed 172 --blocks 16-250 --block-tokens 40-80 --asks 128 \
        --kinds "$(kinds 3)" $bare
    make small-again gamecore --samples "$(some 9000)" --seed 173 --blocks 8-64 --asks 64 --kinds "$(kinds 3)" $bare
    make passages-again passages --samples "$(some 1500)" --seed 74 --workers "$workers"
    make demonstrations-again demonstrations --samples "$(some 12000)" --seed 75 \
        --kinds label=3,transform=2,vocabulary --workers "$workers"
    make tic_tac_toe-again games --game tic_tac_toe --episodes "$(some 3000)" --seed 65 --each-once $astray
    make leduc-again games --game leduc --episodes "$(some 3000)" --seed 66 $astray
    make texas_holdem-again games --game texas_holdem --episodes "$(some 2600)" --seed 67 $astray
    make connect_four-again games --game connect_four --episodes "$(some 2600)" --seed 68 --each-once $astray
    ;;
test)
    for blocks in 8 16 32 64 128 200 300 400; do
        make "gamecore-$blocks" gamecore --split test --samples "$(some 256)" --seed 81 --blocks $blocks --asks 64 \
            --workers "$workers"
    done
    for blocks in 100 300; do
        make "gamecore-$blocks-of-85" gamecore --split test --samples "$(some 192)" --seed 82 --blocks $blocks \
            --block-tokens 85 --asks 64 --workers "$workers"
    done
    make gamecore-128-unlike gamecore --split test --samples "$(some 192)" --seed 83 --blocks 128 --asks 64 \
        --names unlike --workers "$workers"
    for blocks in 8 16 32 64 128 200 300; do
        make "gamecore-$blocks-new" gamecore --split test --samples "$(some 320)" --seed 87 --blocks $blocks --asks 64 \
            --links new --workers "$workers"
    done
    for writing in json renamed lines; do
        for blocks in 32 128; do
            make "gamecore-$blocks-$writing" gamecore --split test --samples "$(some 192)" --seed 86 --blocks $blocks \
                --asks 64 --writing $writing --workers "$workers"
        done
    done
    make passages-test passages --split test --samples "$(some 800)" --seed 84 --workers "$workers"
    for kind in label transform vocabulary; do
        make "demonstrations-$kind" demonstrations --split test --samples "$(some 800)" --seed 85 --kinds $kind \
            --workers "$workers"
    done
    ;;
*)
    echo "sh data.sh train|again|test FOLDER" >&2
    exit 2
    ;;
esac
