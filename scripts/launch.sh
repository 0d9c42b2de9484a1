# Sourced by run_pretrain.sh and run_finetune.sh: what both do around a training. Needs $PYTHON and $ernie_root
# (scripts/environment.sh).

ernie_need() { # FLAG [VALUE]: a flag that takes a value has one
    if [ "$#" -lt 2 ]; then echo "ernie: $1 needs a value (see --help)" >&2; exit 2; fi
}

ernie_number() { # FLAG VALUE: a whole number
    case $2 in '' | *[!0-9]* | ???????*) echo "ernie: $1 $2 is not a whole number of at most six digits" >&2; exit 2 ;; esac
}

ernie_seconds() { # FLAG VALUE: a time above 0
    local digits=${2/./}
    case $digits in '' | *[!0-9]* | ????????*) ;; *[1-9]*) return ;; esac
    echo "ernie: $1 $2 is not a number of seconds above 0" >&2
    exit 2
}

# The flags of both launchers that say where and how often; ernie_flag FLAG VALUE returns 1 for any other.
nnodes= node_rank= master= devices= nproc=1 max_restarts=3 rendezvous_timeout=600
ernie_cluster_flags=()
ernie_flag() {
    case $1 in
        --devices | --nnodes | --rank | --master) ernie_need "$@"; ernie_cluster_flags+=("$1=$2") ;;
        --max-restarts) ernie_need "$@"; ernie_number "$1" "$2"; max_restarts=$2 ;;
        --rendezvous-timeout) ernie_need "$@"; ernie_seconds "$1" "$2"; rendezvous_timeout=$2 ;;
        *) return 1 ;;
    esac
}

ernie_cluster() { # sets nnodes, node_rank, master, devices, nproc: flags first, then what a scheduler says
    local found
    found=$("$PYTHON" -m ernie.launching.cluster ${ernie_cluster_flags[@]+"${ernie_cluster_flags[@]}"}) || exit $?
    eval "$found"
}

# ernie_train WHAT OUTPUT LOGS ARGUMENTS...: `ernie ARGUMENTS` on all processes of this node, started again from the last
# checkpoint after a failure. Returns 0 when it is done; exits when it is over otherwise.
ernie_train() {
    local what=$1 output=$2 logs=$3-node${node_rank:-0} restarts=0 code
    shift 3
    while :; do
        # Said before the reason of a failure, which so stands last on the screen.
        if [ "$restarts" -lt "$max_restarts" ]; then ernie_on_failure=; else
            ernie_on_failure="$what failed $((restarts + 1)) time(s); giving up"
        fi
        ernie_launch "$output" "$logs" "$@"
        code=$?
        export ERNIE_CPU_TOLD=1 # how the CPU was set up is said once, not in each stage
        [ "$code" -eq 0 ] && return 0
        if [ -n "$ernie_stopping" ] || [ "$code" -eq 75 ]; then
            echo "ernie: stopped in $what; start the same command again to go on" >&2
            exit 1
        fi
        case $code in 2 | 70) exit $((code == 2 ? 2 : 1)) ;; esac # what is wrong will be wrong again
        if [ "$restarts" -ge "$max_restarts" ]; then exit 1; fi
        restarts=$((restarts + 1))
        echo "ernie: starting $what again from its last checkpoint ($restarts of $max_restarts)" >&2
        sleep 1
    done
}

ernie_launch() { # OUTPUT LOGS ARGUMENTS...: the ranks of this node once; the exit code of what failed first
    local output=$1 logs=$2 code reason
    shift 2
    if ! reason=$(mkdir -p -- "$logs" 2>&1); then echo "ernie: ${reason#mkdir: }" >&2; exit 2; fi
    rm -f -- "$logs/stop-$$" # of our own: another launch may be at work here
    export ERNIE_LAUNCHER=$$ ERNIE_STOP_FILE=$logs/stop-$$ GLOG_minloglevel=${GLOG_minloglevel:-2}
    if [ -n "$ernie_stopping" ]; then return 75; fi # asked to stop while we were getting here
    # In a session of its own: Ctrl-C reaches this shell alone, which asks the ranks once to save and end.
    setsid "$PYTHON" -m ernie.launching.launcher --logs "$logs" --marks "$output/alive" --nnodes "$nnodes" \
        --rank "$node_rank" --master "$master" --devices "$devices" --rendezvous-timeout "$rendezvous_timeout" \
        --on-failure "$ernie_on_failure" \
        -- "${ERNIE_MAIN:-$ernie_root/ernie/__main__.py}" "$@" &
    ernie_group=$!
    wait "$ernie_group"
    code=$?
    while kill -0 "$ernie_group" 2>/dev/null; do # wait was interrupted by a signal that was passed on
        wait "$ernie_group"
        code=$?
    done
    ernie_group=
    rm -f -- "$ERNIE_STOP_FILE"
    return "$code"
}

ernie_stopping=
ernie_group=
ernie_on_failure=
ernie_stop() { # SIGNAL
    if [ -z "$ernie_stopping" ]; then
        ernie_stopping=1
        if [ -t 2 ]; then printf '\r\033[K' >&2; fi # not behind a progress bar
        echo "ernie: $1: saving what is done; once more ends without saving" >&2
        if [ -n "$ernie_group" ]; then echo "$1" >"$ERNIE_STOP_FILE" || kill -TERM "$ernie_group"; fi
    elif [ -n "$ernie_group" ]; then
        kill -KILL -- "-$ernie_group" 2>/dev/null # the session: launcher, ranks and their workers
    fi
}
trap 'ernie_stop SIGINT' INT
trap 'ernie_stop SIGTERM' TERM
