#!/usr/bin/env bash
# Fine-tuning on one of the paper's tasks, with the paper's recipe. See --help.
set -u
usage() {
    cat <<'TEXT'
usage: bash run_finetune.sh TASK --data DIR --init CHECKPOINT --output DIR [options]
       bash run_finetune.sh --summary DIR

English (GLUE): cola sst-2 mrpc sts-b qqp mnli qnli rte wnli, and ax with a fine-tuned mnli model as --init
Chinese: cmrc2018 drcd dureader msra-ner xnli chnsenticorp lcqmc bq nlpcc-dbqa
or the path of a recipe of your own (see configs/finetune).

  --data DIR           the task's files as published, or a folder with the folders of several tasks
  --init CHECKPOINT    weights of any family: a pre-training run, a released checkpoint, an archive (default: random)
  --output DIR         models, predictions and figures; an interrupted run goes on where it stopped
  --size base|large    which of the paper's two settings (default base)
  --runs N             N different seeds; median (GLUE) or mean (Chinese) with the spread, beside the paper's figure
  --set KEY=VALUE      override a key of the recipe, repeatable: --set epochs=1 --set task_id=2
  --model FILE --vocab FILE   without --init: configuration and vocabulary of the random model
  --summary DIR        table of all finished runs below DIR, GLUE score, submission zip
  --devices 0,1        cards of this node; on a CPU, as many processes
  --nnodes N --rank R --master HOST:PORT   several nodes: start this on each (or let PADDLE_*, SLURM_*, OMPI_* say so)
  --max-restarts N     with several processes: start again after a failure, at most N times (default 3)
example: bash run_finetune.sh mrpc --data glue/MRPC --init checkpoints/ernie_base_en --output output/mrpc --runs 5
TEXT
}
task= devices= nnodes= node_rank= master= max_restarts=3 output=
common=()
need() { if [ "$#" -lt 2 ]; then echo "ernie: $1 needs a value (see --help)" >&2; exit 2; fi; }
while [ $# -gt 0 ]; do
    case $1 in
        --output) need "$@"; output=$2; common+=("$1" "$2"); shift ;;
        --data | --init | --size | --runs | --set | --model | --vocab | --summary) need "$@"; common+=("$1" "$2"); shift ;;
        --devices) need "$@"; devices=$2; shift ;;
        --nnodes) need "$@"; nnodes=$2; shift ;;
        --rank) need "$@"; node_rank=$2; shift ;;
        --master) need "$@"; master=$2; shift ;;
        --max-restarts) need "$@"; max_restarts=$2; shift ;;
        -h | --help) usage; exit 0 ;;
        -*) echo "ernie: unknown option $1 (see --help)" >&2; exit 2 ;;
        *)
            if [ -n "$task" ]; then echo "ernie: two tasks, $task and $1 (see --help)" >&2; exit 2; fi
            task=$1; common+=(--task "$1") ;;
    esac
    shift
done
if [ "${#common[@]}" -eq 0 ]; then usage; exit 2; fi
case $max_restarts in '' | *[!0-9]*) echo "ernie: --max-restarts $max_restarts is not a number" >&2; exit 2 ;; esac

{ # read whole before it runs, so that an update of the checkout does not change a launcher at work
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/scripts/environment.sh"
. "$here/scripts/cluster.sh"
ernie_cluster
ernie_tune_cpu "$nproc"

if [ -z "$task" ] || [ $((nproc * nnodes)) -eq 1 ] || [ "$task" = ax ]; then
    trap - INT TERM
    exec "$PYTHON" -m ernie finetune "${common[@]}"
fi
if [ -z "$output" ]; then echo "ernie: --output is missing (see --help)" >&2; exit 2; fi
restarts=0
logs=$output/logs-node${node_rank:-0}
while :; do
    ernie_launch "$logs" finetune "${common[@]}"
    code=$?
    [ "$code" -eq 0 ] && exit 0
    if [ -n "$ernie_stopping" ] || [ "$code" -eq 75 ]; then
        echo "ernie: stopped; start the same command again to go on" >&2
        exit 1
    fi
    ernie_explain "$logs" "$code"
    code=$?
    case $code in 2 | 70) exit $((code == 2 ? 2 : 1)) ;; esac
    if [ "$restarts" -ge "$max_restarts" ]; then
        echo "ernie: $task failed $((restarts + 1)) time(s); giving up" >&2
        exit 1
    fi
    restarts=$((restarts + 1))
    echo "ernie: starting $task again from its last checkpoint ($restarts of $max_restarts)" >&2
    sleep 1
done
}
