# Sourced by the scripts of the top level: finds or makes the Python environment and leaves its interpreter in $PYTHON.
#
# An active virtual environment (or conda environment) is used as it is; otherwise one `.venv` beside this project's
# README is made and shared by all scripts. What requirements.txt says is installed once; a stamp file remembers it.
# A set-up that was stopped goes on when the script is started again. The caller sets $ROOT to the folder of the project.

die() {
    echo "mmvis: $*" >&2
    exit 1
}

fits() {  # fits INTERPRETER: a Python that the project supports?
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    for name in python3 python python3.13 python3.12 python3.11 python3.10; do
        if command -v "$name" >/dev/null 2>&1 && fits "$name"; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

install() {  # install WHAT...: with more patience than pip's own with a slow registry
    PIP_RETRIES="${PIP_RETRIES:-6}" PIP_DEFAULT_TIMEOUT="${PIP_DEFAULT_TIMEOUT:-60}" \
        "$PYTHON" -m pip install --quiet --disable-pip-version-check "$@" ||
        die "pip could not install what is needed; its message above says why. If the network is in the way, set \
PIP_INDEX_URL to a registry within reach, or PIP_NO_INDEX=1 and PIP_FIND_LINKS to a folder of wheels, and run this again."
}

if [ -n "${VIRTUAL_ENV:-}" ] && [ -x "$VIRTUAL_ENV/bin/python" ]; then
    PYTHON="$VIRTUAL_ENV/bin/python"
elif [ -n "${CONDA_PREFIX:-}" ] && [ "${CONDA_DEFAULT_ENV:-base}" != base ] && [ -x "$CONDA_PREFIX/bin/python" ]; then
    PYTHON="$CONDA_PREFIX/bin/python"
else
    PYTHON="$ROOT/.venv/bin/python"
    if ! [ -x "$PYTHON" ] || ! "$PYTHON" -m pip --version >/dev/null 2>&1; then
        base=$(find_python) || die "no Python 3.10 to 3.13 found on PATH; install one, or activate an environment that has it."
        echo "mmvis: making the virtual environment .venv with $("$base" --version)"
        "$base" -m venv --clear "$ROOT/.venv" ||
            die "'$base -m venv' failed; install the venv module of your Python (Debian and Ubuntu: python3-venv)."
    fi
fi
fits "$PYTHON" || die "$PYTHON is $("$PYTHON" --version 2>&1); mmvis needs Python 3.10 to 3.13."

# mmcv-lite and a compiled mmcv share their files: only one of the two may be installed.
wanted="$ROOT/requirements.txt"
stamp="$("$PYTHON" -c 'import sys; print(sys.prefix)')/.mmvis-installed"
state=$(cat "$wanted" "$ROOT/setup.py" "$ROOT/pyproject.toml" "$ROOT/mmvis/version.py" | cksum; echo "$ROOT")
if ! { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ]; }; then
    echo "mmvis: installing what requirements.txt says (the first time this takes minutes and 6 GB: torch is large)"
    install "setuptools>=64" wheel
    # Without build isolation setup.py sees which mmcv is installed, and nothing is fetched for the build alone.
    install -e "$ROOT[tests]" --no-build-isolation
    # The usual wheel of OpenCV wants the libraries of a desktop, which a server or a container may lack.
    if ! "$PYTHON" -c 'import cv2' 2>/dev/null; then
        version=$("$PYTHON" -c 'from importlib.metadata import version; print(version("opencv-python"))')
        echo "mmvis: this machine lacks what OpenCV's windows need: taking opencv-python-headless $version"
        "$PYTHON" -m pip uninstall --quiet --yes opencv-python
        install "opencv-python-headless==$version" --no-deps
        "$PYTHON" -c 'import cv2' || die "OpenCV does not load; see the message above."
    fi
    printf '%s\n' "$state" >"$stamp.tmp" && mv "$stamp.tmp" "$stamp"
fi
