# Sourced by the launchers, which set TOOLS to this folder: leaves in $PYTHON what was set there, else the interpreter of
# the active environment (conda's base is none, as in setup_env.sh), else that of this project's .venv, else python.
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python
    if [ -n "${VIRTUAL_ENV:-}" ] && [ -x "$VIRTUAL_ENV/bin/python" ]; then
        PYTHON=$VIRTUAL_ENV/bin/python
    elif [ -n "${CONDA_PREFIX:-}" ] && [ "${CONDA_DEFAULT_ENV:-base}" != base ] && [ -x "$CONDA_PREFIX/bin/python" ]; then
        PYTHON=$CONDA_PREFIX/bin/python
    elif [ -x "$TOOLS/../.venv/bin/python" ]; then
        PYTHON=$TOOLS/../.venv/bin/python
    fi
fi
