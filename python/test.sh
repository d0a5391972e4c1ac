#!/bin/sh
# Builds the wheel, installs it in a fresh environment and runs the tests: Rust, Python 3.9 or later with venv, and the package registries.
#
#   python/test.sh                    another Python: PYTHON=python3.12 python/test.sh
#
# The wheel is left in python/target/wheels. Tests that compare with the programs need target/release/cpc-stream and target/release/cpc-lab
# of this repository (or CPC_STREAM and CPC_LAB with their paths), and are skipped without them.
set -eu
cd "$(dirname "$0")"
environment=target/venv
rm -rf "$environment" target/wheels
"${PYTHON:-python3}" -m venv "$environment"
python=$PWD/$environment/bin/python
"$python" -m pip install --quiet --disable-pip-version-check 'maturin>=1.9,<2'
"$python" -m maturin build --release --locked --out target/wheels
for wheel in target/wheels/*.whl; do
    echo "$wheel: $(du -k "$wheel" | cut -f 1) KiB"
    "$python" -m pip install --quiet --disable-pip-version-check "$wheel[test]"
done
exec "$python" -m pytest -ra "$@"
