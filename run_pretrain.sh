#!/usr/bin/env bash
# Continual multi-task pre-training, stage after stage. See --help.
set -u
usage() {
    cat <<'TEXT'
usage: bash run_pretrain.sh [options]

Runs every stage of a curriculum: finished stages are skipped, an interrupted one goes on where it stopped.
Without options: the embedded demo (real Wikipedia text that a dependency ships, four stages, minutes on a CPU).

  --config FILE        curriculum (default configs/curriculum/demo_en.yaml)
  --corpus DIR         train on this store (from `ernie build-corpus`) instead of the curriculum's corpora
  --output DIR         run directory (default output/<name of the config>); on a file system that all nodes share
  --set KEY=VALUE      override a key of the curriculum, dotted, repeatable: --set optimizer.learning_rate=1e-4
  --tasks-from FILE    a Python file with tasks of your own, repeatable
  --devices 0,1        cards of this node; on a CPU, as many processes
  --nnodes N --rank R --master HOST:PORT   several nodes: start this on each (or let PADDLE_*, SLURM_*, OMPI_* say so)
  --max-restarts N     start again from the last checkpoint after a failure, at most N times (default 3)
  --step-timeout SEC   end a job whose step takes longer (default: the curriculum's step_timeout)
  --dry-run            show the plan and what would be launched; train nothing
example: bash run_pretrain.sh --config configs/curriculum/ernie2_en.yaml --corpus store/wiki --devices 0,1,2,3
TEXT
}
config= output= devices= nnodes= node_rank= master= max_restarts=3 dry_run=
common=() step_timeout=()
need() { if [ "$#" -lt 2 ]; then echo "ernie: $1 needs a value (see --help)" >&2; exit 2; fi; }
while [ $# -gt 0 ]; do
    case $1 in
        --config) need "$@"; config=$2; shift ;;
        --output) need "$@"; output=$2; shift ;;
        --corpus | --set | --tasks-from) need "$@"; common+=("$1" "$2"); shift ;;
        --devices) need "$@"; devices=$2; shift ;;
        --nnodes) need "$@"; nnodes=$2; shift ;;
        --rank) need "$@"; node_rank=$2; shift ;;
        --master) need "$@"; master=$2; shift ;;
        --max-restarts) need "$@"; max_restarts=$2; shift ;;
        --step-timeout) need "$@"; step_timeout=(--step-timeout "$2"); shift
            case ${step_timeout[1]} in '' | *[!0-9.]*) echo "ernie: --step-timeout $1 is no number of seconds" >&2; exit 2 ;; esac ;;
        --dry-run) dry_run=1 ;;
        -h | --help) usage; exit 0 ;;
        *) echo "ernie: unknown option $1 (see --help)" >&2; exit 2 ;;
    esac
    shift
done
case $max_restarts in '' | *[!0-9]*) echo "ernie: --max-restarts $max_restarts is not a number" >&2; exit 2 ;; esac

{ # read whole before it runs, so that an update of the checkout does not change a launcher at work
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/scripts/environment.sh"
. "$here/scripts/cluster.sh"
config=${config:-$here/configs/curriculum/demo_en.yaml}
output=${output:-output/$(basename "${config%.*}")}
ernie_cluster
ernie_tune_cpu "$nproc"
common=(--config "$config" --output "$output" ${common[@]+"${common[@]}"})

if [ -n "$dry_run" ]; then
    "$PYTHON" -m ernie plan "${common[@]}" --cards $((nproc * nnodes)) || exit $?
    pending=$("$PYTHON" -m ernie stages "${common[@]}" --dry-run) || exit $?
    echo "would launch: stage" $pending "on $nnodes node(s) x $nproc process(es), output $output"
    exit 0
fi
# Checks everything before a process group is started, prepares the demo's corpus, and lists what is left to train.
pending=$("$PYTHON" -m ernie stages "${common[@]}") || exit $?

for stage in $pending; do
    restarts=0
    logs=$output/stage-$stage/logs-node${node_rank:-0}
    while :; do
        ernie_launch "$logs" pretrain "${common[@]}" --stage "$stage" ${step_timeout[@]+"${step_timeout[@]}"}
        code=$?
        [ "$code" -eq 0 ] && break
        if [ -n "$ernie_stopping" ] || [ "$code" -eq 75 ]; then
            echo "ernie: stopped in stage $stage; start the same command again to go on" >&2
            exit 1
        fi
        if [ "$restarts" -ge "$max_restarts" ]; then
            echo "ernie: stage $stage failed $((restarts + 1)) time(s); giving up" >&2
        fi
        ernie_explain "$logs" "$code"
        code=$?
        case $code in 2 | 70) exit $((code == 2 ? 2 : 1)) ;; esac # what is wrong will be wrong again
        if [ "$restarts" -ge "$max_restarts" ]; then exit 1; fi
        restarts=$((restarts + 1))
        echo "ernie: starting stage $stage again from its last checkpoint ($restarts of $max_restarts)" >&2
        sleep 1
    done
done
"$PYTHON" -m ernie stages "${common[@]}" --table
exit
}
