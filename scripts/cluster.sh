# Sourced by the launchers: which nodes and devices take part, from flags or from the scheduler's environment.
# Sets nnodes, node_rank, master, devices, nproc; and the function ernie_launch.

ernie_cluster() { # fills in what the flags left open
    if [ -z "$nnodes" ]; then
        if [ -n "${PADDLE_NNODES:-}" ]; then
            nnodes=$PADDLE_NNODES node_rank=${node_rank:-${PADDLE_NODE_RANK:-${PADDLE_TRAINER_ID:-}}} master=${master:-${PADDLE_MASTER:-}}
        elif [ -n "${SLURM_NNODES:-}" ] && [ "${SLURM_NNODES}" -gt 1 ]; then
            nnodes=$SLURM_NNODES node_rank=${node_rank:-${SLURM_NODEID:-}}
            master=${master:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" 2>/dev/null | head -n 1):${ERNIE_PORT:-29500}}
        elif [ -n "${OMPI_COMM_WORLD_SIZE:-}" ] && [ "${OMPI_COMM_WORLD_SIZE}" -gt 1 ]; then
            nnodes=$OMPI_COMM_WORLD_SIZE node_rank=${node_rank:-${OMPI_COMM_WORLD_RANK:-}} master=${master:-${ERNIE_MASTER:-}}
        fi
    fi
    nnodes=${nnodes:-1}
    case $nnodes in *[!0-9]* | 0) echo "ernie: --nnodes $nnodes is not a number" >&2; exit 2 ;; esac
    if [ "$nnodes" -gt 1 ] && { [ -z "$node_rank" ] || [ -z "$master" ]; }; then
        echo "ernie: $nnodes nodes need --rank (0 to $((nnodes - 1))) and --master HOST:PORT" >&2
        exit 2
    fi
    if [ "$nnodes" -gt 1 ]; then
        case $node_rank in *[!0-9]*) node_rank=$nnodes ;; esac
        if [ "$node_rank" -ge "$nnodes" ]; then
            echo "ernie: --rank $node_rank is not one of 0 to $((nnodes - 1))" >&2
            exit 2
        fi
        case $master in ?*:*[0-9]) ;; *) echo "ernie: --master $master is not HOST:PORT" >&2; exit 2 ;; esac
    fi
    if [ -z "$devices" ] && command -v nvidia-smi >/dev/null 2>&1; then
        devices=${CUDA_VISIBLE_DEVICES:-$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null | paste -sd, -)}
    fi
    case $devices in *[!0-9,]* | ,* | *, | *,,*)
        echo "ernie: --devices $devices: expected numbers separated by commas, for example 0,1" >&2
        exit 2 ;;
    esac
    nproc=$(echo "${devices:-0}" | tr ',' '\n' | wc -l | tr -d ' ')
}

ernie_launch() { # LOG_DIR ARGUMENTS...: one process group; the exit code of what failed first
    local logs=$1 code shown
    shift
    local cards=(--nproc_per_node "$nproc")
    if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then cards=(--devices "$devices"); fi
    local nodes=()
    if [ "$nnodes" -gt 1 ]; then nodes=(--nnodes "$nnodes" --rank "$node_rank" --master "$master"); fi
    mkdir -p "$logs" || return 2
    rm -f "$logs"/workerlog.* "$logs/stop"
    export ERNIE_LAUNCHER=$$ ERNIE_STOP_FILE=$logs/stop GLOG_minloglevel=${GLOG_minloglevel:-2}
    ernie_since=$(date +%s) ernie_stop_file=$logs/stop
    if [ -n "$ernie_stopping" ]; then return 75; fi # asked to stop while we were getting here
    # In a session of its own: Ctrl-C reaches this shell alone, which asks the ranks once to save and end.
    setsid "$PYTHON" -m paddle.distributed.launch --log_level ERROR --log_dir "$logs" "${cards[@]}" ${nodes[@]+"${nodes[@]}"} \
        "${ERNIE_MAIN:-$ernie_root/ernie/__main__.py}" "$@" >"$logs/launcher.log" 2>&1 &
    ernie_group=$!
    # The first rank's words as they come; Paddle's launcher would repeat some of them when a rank fails.
    : >>"$logs/workerlog.0"
    setsid tail --pid=$$ -n +1 -f "$logs/workerlog.0" &
    shown=$!
    wait "$ernie_group"
    code=$?
    while kill -0 "$ernie_group" 2>/dev/null; do # wait was interrupted by a signal that we passed on
        wait "$ernie_group"
        code=$?
    done
    sleep 0.5
    kill "$shown" 2>/dev/null
    wait "$shown" 2>/dev/null
    rm -f "$logs"/backup_env.* "$logs"/envlog.* "$logs"/default.*.log # copies of the environment, secrets and all
    ernie_group=
    return "$code"
}

ernie_explain() { # LOG_DIR CODE: which rank failed first, and its last words; returns its exit code
    local logs=$1 code=$2 rank found
    echo "ernie: logs are in $logs" >&2
    "$PYTHON" -m ernie.training.watchdog "$output/alive" "$ernie_since" >&2
    found=$?
    if [ "$found" -eq 0 ]; then # it left no mark: what Paddle's launcher knows
        rank=$(sed -n 's/^Container rank \([0-9]*\) status failed.*/\1/p' "$logs/launcher.log" | head -n 1)
        found=$(sed -n 's/^Container rank .* code \(-\{0,1\}[0-9]*\) .*/\1/p' "$logs/launcher.log" | head -n 1)
        echo "ernie: process ${rank:-?} of this node failed (exit code ${found:-$code}):" >&2
        tail -n 25 "$logs/${rank:+workerlog.}${rank:-launcher.log}" 2>/dev/null | sed 's/^/  | /' >&2
    fi
    return $((${found:-$code} & 255))
}

ernie_stopping=
ernie_group=
ernie_stop() { # SIGNAL
    if [ -z "$ernie_stopping" ]; then
        ernie_stopping=1
        echo "ernie: $1: saving after the step under way; once more ends without saving" >&2
        if [ -n "$ernie_group" ]; then echo "$1" >"$ernie_stop_file" || kill -TERM "$ernie_group"; fi
    elif [ -n "$ernie_group" ]; then
        kill -TERM "$ernie_group" 2>/dev/null
    fi
}
trap 'ernie_stop SIGINT' INT
trap 'ernie_stop SIGTERM' TERM
