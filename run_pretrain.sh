#!/usr/bin/env bash
# Continual multi-task pre-training, stage after stage. See --help.
set -u
usage() {
    cat <<'TEXT'
usage: bash run_pretrain.sh [options]

Runs every stage of a curriculum: finished stages are skipped, an interrupted
one goes on where it stopped. Without options: the embedded demo (real
Wikipedia text that a dependency ships, four stages, minutes on a CPU).

  --config FILE        curriculum (default configs/curriculum/demo_en.yaml)
  --corpus DIR         train on this store (from `ernie build-corpus`) instead
                       of the curriculum's corpora
  --output DIR         run directory (default output/<name of the config>), on
                       a file system that all nodes share
  --set KEY=VALUE      override a key of the curriculum, dotted, repeatable:
                       --set optimizer.learning_rate=1e-4
  --tasks-from FILE    a Python file with tasks of your own, repeatable
  --devices 0,1        cards of this node; on a CPU, as many processes
  --nnodes N --rank R --master HOST:PORT
                       several nodes: start this on each (or let PADDLE_*,
                       SLURM_*, OMPI_* say so)
  --max-restarts N     start again from the last checkpoint after a failure,
                       at most N times (default 3)
  --step-timeout SEC   end a job whose step takes longer (default: the
                       curriculum's step_timeout)
  --rendezvous-timeout SEC
                       how long to wait for the other nodes (default 600)
  --dry-run            show the plan and what would be launched; train nothing

example: bash run_pretrain.sh --config own_small --corpus store/mine
         bash run_pretrain.sh --config configs/curriculum/ernie2_en.yaml \
             --corpus store/wiki --devices 0,1,2,3

TEXT
    echo "documentation: $here/docs/cluster.md"
}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/scripts/launch.sh"
config= output= dry_run=
common=() training=()
while [ $# -gt 0 ]; do
    case $1 in --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac # as `ernie` takes flags
    if ernie_flag "$@"; then shift 2; continue; fi
    case $1 in
        --config) ernie_need "$@"; config=$2; shift ;;
        --output) ernie_need "$@"; output=$2; shift ;;
        --corpus | --set | --tasks-from) ernie_need "$@"; common+=("$1=$2"); shift ;;
        --step-timeout)
            ernie_need "$@"; ernie_seconds "$1" "$2"; training+=("$1=$2"); shift ;;
        --dry-run) dry_run=1 ;;
        -h | --help) usage; exit 0 ;;
        *) echo "ernie: unknown option $1 (see --help)" >&2; exit 2 ;;
    esac
    shift
done

{ # read whole before it runs, so that an update of the checkout does not change a launcher at work
. "$here/scripts/environment.sh"
config=${config:-$here/configs/curriculum/demo_en.yaml}
output=${output:-output/$(basename "${config%.*}")}
ernie_cluster
common=("--config=$config" "--output=$output" ${common[@]+"${common[@]}"})

if [ -n "$dry_run" ]; then
    "$PYTHON" -m ernie plan "${common[@]}" --cards $((nproc * nnodes)) || exit $?
    pending=$("$PYTHON" -m ernie stages "${common[@]}" --dry-run) || exit $?
    echo "would launch: stage" $pending "on $nnodes node(s) x $nproc process(es)${devices:+, devices $devices}, output $output"
    exit 0
fi
# Checks everything before a process group is started, prepares the demo's corpus, and lists what is left to train.
pending=$(ERNIE_CPU_TOLD=1 "$PYTHON" -m ernie stages "${common[@]}") || exit $?
for stage in $pending; do
    ernie_train "stage $stage" "$output" "$output/stage-$stage/logs" \
        pretrain "${common[@]}" --stage "$stage" ${training[@]+"${training[@]}"}
done
ERNIE_CPU_TOLD=1 "$PYTHON" -m ernie stages "${common[@]}" --table
exit
}
