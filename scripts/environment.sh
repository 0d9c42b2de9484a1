# Sourced by the launchers and the Makefile: finds or makes a Python environment, sets $PYTHON, and tunes the CPU.
# Installs only from the package index that pip is set up with. ERNIE_EXTRAS adds extras (test, spacy, ...);
# ERNIE_PADDLE="paddlepaddle-gpu==3.2.0 -i INDEX" (or the path of a wheel) chooses another Paddle.

ernie_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

ernie_lacks() { # prints what this interpreter lacks of paddle, ernie and what the extras need; 0 where that is nothing
    "$1" - "${ERNIE_EXTRAS:-}" 2>/dev/null <<'PY'
import importlib.util as u, sys
probe = {"test": ["pytest", "hypothesis", "pytest_timeout", "mypy", "tensorboardX"], "browser": ["playwright"], "release": ["build", "twine"], "docs": ["mkdocs"], "zh": ["rjieba", "snownlp", "opencc"], "spacy": ["spacy"]}
names = ["paddle", "ernie", "tokenizers", "gensim", "textblob", "safetensors", "yaml"]
names += [n for extra in sys.argv[1].split(",") for n in probe.get(extra, [])]
lacking = [n for n in names if u.find_spec(n) is None]
print(*lacking, sep=", ")
sys.exit(bool(lacking))
PY
}

ernie_works() { # is this interpreter one to train with?
    ernie_lacks "$1" >/dev/null
}

ernie_passed_over() { # NAME=VALUE INTERPRETER: say why the interpreter that was asked for is not the one that is used
    local lacking
    lacking=$(ernie_lacks "$2")
    echo "ernie: $1 is passed over: it ${lacking:+lacks }${lacking:-does not run}" >&2
}

ernie_find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.12 python3.11 python3.10 python3.9 python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    echo "ernie: no Python 3.9 to 3.12 found (set PYTHON=/path/to/python)" >&2
    return 2
}

ernie_install() { # by one launcher at a time: nodes that share the checkout start together
    local code
    if command -v flock >/dev/null 2>&1 && { exec 8>"$ernie_root/.venv.lock"; } 2>/dev/null; then
        flock -n 8 || {
            echo "ernie: another launcher is installing into $ernie_root/.venv: waiting for it" >&2
            flock 8
        }
    fi
    ernie_install_here
    code=$?
    { exec 8>&-; } 2>/dev/null
    return "$code"
}

ernie_install_here() { # a virtual environment in the checkout, installed again when setup.py or the extras change
    local venv=$ernie_root/.venv extras device=cpu, base stamp
    if [ ! -f "$ernie_root/setup.py" ]; then # the launchers of an installed package
        echo "ernie: ${PYTHON:-this Python} lacks a package that is needed: pip install 'ernie-pretrain[cpu,zh]' again" >&2
        return 2
    fi
    if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then device=gpu,; fi
    if [ -n "${ERNIE_PADDLE:-}" ]; then device=; fi
    extras="${device}zh${ERNIE_EXTRAS:+,$ERNIE_EXTRAS}"
    stamp="$extras ${ERNIE_PADDLE:-} $(cksum <"$ernie_root/setup.py")"
    if [ ! -f "$venv/installed" ] || [ "$(cat "$venv/installed")" != "$stamp" ]; then
        if [ -n "${VIRTUAL_ENV:-}" ]; then ernie_passed_over "VIRTUAL_ENV=$VIRTUAL_ENV" "$VIRTUAL_ENV/bin/python"; fi
        if [ -n "${PYTHON:-}" ]; then ernie_passed_over "PYTHON=$PYTHON" "$PYTHON"; fi
        base=$(ernie_find_python) || return 2
        echo "ernie: installing into $venv ($extras): once, minutes and over 1 GB" >&2
        [ -x "$venv/bin/python" ] || "$base" -m venv "$venv" || return 2
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade pip >&2 || return 2
        # setuptools warns of every editable installation, at length
        PYTHONWARNINGS=ignore "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            -e "$ernie_root[$extras]" >&2 || return 2
        if [ -n "${ERNIE_PADDLE:-}" ]; then # a wheel, or a requirement with the options of pip that find it
            # shellcheck disable=SC2086  # several words on purpose
            "$venv/bin/python" -m pip install --quiet --disable-pip-version-check $ERNIE_PADDLE >&2 || return 2
        fi
        "$venv/bin/python" -c 'from ernie.utils.paddle_setup import import_paddle; import_paddle(tell=False)' >&2 || {
            echo "ernie: Paddle was installed into $venv and cannot be imported (see above, and docs/gpu.md)" >&2
            return 2
        }
        echo "$stamp" >"$venv/installed"
    fi
    PYTHON=$venv/bin/python
}

if [ -n "${VIRTUAL_ENV:-}" ] && ernie_works "$VIRTUAL_ENV/bin/python"; then
    PYTHON=$VIRTUAL_ENV/bin/python
elif [ -n "${PYTHON:-}" ] && ernie_works "$PYTHON"; then
    :
elif [ ! -d "$ernie_root/.venv" ] && command -v python3 >/dev/null 2>&1 && ernie_works "$(command -v python3)"; then
    PYTHON=$(command -v python3)
else
    ernie_install || exit 2
fi
export PYTHON

# Paddle falls to one thread unless told otherwise; the ranks of this node share its cores.
ernie_tune_cpu() {
    local ranks=${1:-1} cores
    cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
    if [ -z "${OMP_NUM_THREADS:-}" ]; then
        export OMP_NUM_THREADS=$((cores / ranks > 0 ? cores / ranks : 1))
        echo "ernie: OMP_NUM_THREADS=$OMP_NUM_THREADS ($cores cores, $ranks processes)" >&2
    fi
    # The MKL inside Paddle's wheels takes a slow path on AMD processors; this undocumented switch names the right one.
    if [ -z "${MKL_DEBUG_CPU_TYPE:-}" ] && grep -q AuthenticAMD /proc/cpuinfo 2>/dev/null; then
        if grep -qw avx512f /proc/cpuinfo; then
            export MKL_DEBUG_CPU_TYPE=7
        elif grep -qw avx2 /proc/cpuinfo; then
            export MKL_DEBUG_CPU_TYPE=5
        fi
        if [ -n "${MKL_DEBUG_CPU_TYPE:-}" ]; then
            echo "ernie: AMD processor, MKL_DEBUG_CPU_TYPE=$MKL_DEBUG_CPU_TYPE for fast matrix products" >&2
        fi
    fi
}
