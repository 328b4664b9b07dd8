#!/bin/sh
# The data that the package's adapter was tuned on, and those that it is measured on, as files of samples.
#
#   sh data.sh train FOLDER     what is learned from; the conversations, which come last, want a GPU
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

case $what in
train)
    # What is easy is asked less often; quest is in no training data.
    kinds=unit_fact,reverse=1.5,rules_and_unit=0.7,linked=2.5,comparison,counting=2.5,decision=0.3
    kinds=$kinds,errand=0.5,rules_errand=0.5,linked_errand
    writing="--writing prose,json,renamed,lines --workers $workers"
    make large gamecore --samples "$(some 3400)" --seed 151 --blocks 64-400 --asks 160 --kinds $kinds $writing
    make long gamecore --samples "$(some 2200)" --seed 152 --blocks 16-250 --block-tokens 40-80 --asks 128 \
        --kinds $kinds $writing
    make small gamecore --samples "$(some 12000)" --seed 153 --blocks 8-64 --asks 64 --kinds $kinds $writing
    make passages passages --samples "$(some 1500)" --seed 54 --workers "$workers"
    make demonstrations demonstrations --samples "$(some 12000)" --seed 55 --kinds label=3,transform=2,vocabulary \
        --workers "$workers"
    # Experts meet players of every kind: from one that errs in a twentieth of its moves to one that knows nothing.
    astray="--wander 0.05,0.3,1 --persona mixed --workers $workers"
    make tic_tac_toe games --game tic_tac_toe --episodes "$(some 3000)" --seed 61 --each-once $astray
    make leduc games --game leduc --episodes "$(some 3000)" --seed 62 $astray
    make texas_holdem games --game texas_holdem --episodes "$(some 2600)" --seed 63 $astray
    make connect_four games --game connect_four --episodes "$(some 2600)" --seed 64 --each-once $astray
    # 232 conversations were used, which is what 64 seconds of an H200 came to.
    [ -n "${NO_CHAT:-}" ] || make chat chat --samples "$(some 232)" --seed 9 --at-once 1024
    ;;
test)
    for blocks in 8 16 32 64 128 200 300 400; do
        make "gamecore-$blocks" gamecore --split test --samples "$(some 192)" --seed 81 --blocks $blocks --asks 64 \
            --workers "$workers"
    done
    for blocks in 100 300; do
        make "gamecore-$blocks-of-85" gamecore --split test --samples "$(some 192)" --seed 82 --blocks $blocks \
            --block-tokens 85 --asks 64 --workers "$workers"
    done
    make gamecore-128-unlike gamecore --split test --samples "$(some 192)" --seed 83 --blocks 128 --asks 64 \
        --names unlike --workers "$workers"
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
    echo "sh data.sh train|test FOLDER" >&2
    exit 2
    ;;
esac
