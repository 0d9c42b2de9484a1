#!/usr/bin/env bash
# Fine-tuning on one of the paper's tasks, with the paper's recipe. See --help.
set -u
usage() {
    cat <<'TEXT'
usage: bash run_finetune.sh TASK --data DIR --init CHECKPOINT --output DIR
           [options]
       bash run_finetune.sh --together TASK,TASK --data DIR --init CHECKPOINT
           --output DIR [options]
       bash run_finetune.sh --summary DIR

English (GLUE): cola sst-2 mrpc sts-b qqp mnli qnli rte wnli, and ax with a
fine-tuned mnli model as --init
Chinese: cmrc2018 drcd dureader msra-ner xnli chnsenticorp lcqmc bq nlpcc-dbqa
or the path of a recipe of your own (see configs/finetune).

  --data DIR           the task's files as published, or a folder with the
                       folders of several tasks
  --init CHECKPOINT    weights of any family: a pre-training run, a released
                       checkpoint, an archive (default: random)
  --output DIR         models, predictions and figures; an interrupted run
                       goes on where it stopped
  --size base|large    which of the paper's two settings (default base)
  --runs N             N different seeds; median (GLUE) or mean (Chinese) with
                       the spread, beside the paper's figure
  --folds K            cross-validate: K trainings, each measured on the fold
                       it has not seen
  --sweep KEY=V1,V2    train with every value, and the table of dev figures
                       (one process)
  --together T1=D1,T2=D2
                       instead of TASK: one encoder, a head for each task;
                       --mixing says in which shares
  --check              read all files, say what is in them, train nothing
  --set KEY=VALUE      override a key of the recipe, repeatable:
                       --set epochs=1 --set task_id=2
  --model FILE --vocab FILE
                       without --init: configuration and vocabulary of the
                       random model
  --summary DIR        table of all finished runs below DIR, GLUE score,
                       submission zip
  --devices 0,1        cards of this node; on a CPU, as many processes
  --nnodes N --rank R --master HOST:PORT
                       several nodes: start this on each (or let PADDLE_*,
                       SLURM_*, OMPI_* say so)
  --max-restarts N     start again from the last checkpoint after a failure,
                       at most N times (default 3)
  --rendezvous-timeout SEC
                       how long to wait for the other nodes (default 600)

example: bash run_finetune.sh mrpc --data glue/MRPC \
             --init checkpoints/ernie_base_en --output output/mrpc --runs 5

TEXT
    echo "documentation: $here/docs/finetuning.md"
}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/scripts/launch.sh"
task= output= summary= check=
common=()
while [ $# -gt 0 ]; do
    case $1 in --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac # as `ernie` takes flags
    if ernie_flag "$@"; then shift 2; continue; fi
    case $1 in
        --output) ernie_need "$@"; output=$2; common+=("$1=$2"); shift ;;
        --check) common+=("$1"); check=1 ;;
        --together) ernie_need "$@"; task=together common+=("$1=$2"); shift ;;
        --data | --mixing | --init | --size | --runs | --folds | --sweep | --set | --model | --vocab) ernie_need "$@"; common+=("$1=$2"); shift ;;
        --summary) ernie_need "$@"; summary=$2; shift ;;
        -h | --help) usage; exit 0 ;;
        -*) echo "ernie: unknown option $1 (see --help)" >&2; exit 2 ;;
        *)
            if [ -n "$task" ]; then echo "ernie: two tasks, $task and $1 (see --help)" >&2; exit 2; fi
            task=$1; common+=("--task=$1") ;;
    esac
    shift
done
if [ -z "$summary" ] && [ "${#common[@]}" -eq 0 ]; then usage; exit 2; fi

{ # read whole before it runs, so that an update of the checkout does not change a launcher at work
. "$here/scripts/environment.sh"
if [ -n "$summary" ]; then exec "$PYTHON" -m ernie finetune --summary="$summary"; fi
if [ -n "$check" ]; then exec "$PYTHON" -m ernie finetune "${common[@]}"; fi
if [ -z "$output" ]; then echo "ernie: --output is missing (see --help)" >&2; exit 2; fi
ernie_cluster
ernie_train "$task" "$output" "$output/logs" finetune "${common[@]}"
exit
}
