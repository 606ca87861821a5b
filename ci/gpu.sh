#!/usr/bin/env bash
# Everything that needs a GPU, in one run: `ci/gpu.sh [FILE]`. Prints what it measured with date, GPU and versions, and with
# a FILE also writes it there. Needs an NVIDIA GPU, CuPy (autograd_fb[cuda13,test]), and for comparisons a CUDA build of
# torch. Where there is no GPU it says so and exits with status 2: no figure comes from anywhere but a measurement.
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD:$PWD/backends${PYTHONPATH:+:$PYTHONPATH}"
python=${PYTHON:-python3}
report=$(mktemp)
trap 'rm -f "$report"' EXIT

if ! "$python" -m ci.gpu --check; then
    exit 2
fi

status=0
section() {
    printf '\n## %s\n\n' "$1" | tee -a "$report"
    shift
    "$@" 2>&1 | tee -a "$report"
    local code=${PIPESTATUS[0]}
    if [ "$code" -ne 0 ]; then
        printf '\nexit status %s\n' "$code" | tee -a "$report"
        status=1
    fi
}

"$python" -m ci.gpu --facts | tee -a "$report"
section "Tests on the GPU" "$python" -m pytest -q -p no:cacheprovider tests/backends/test_cupy_rows.py \
    tests/backends/test_cupy_gpu.py tests/backends/test_cupy_library.py tests/backends/test_cuda_kernels.py
for example in "examples/train_digits.py --device cuda --epochs 5 --out $(mktemp -d)" "examples/cuda_raw_kernel.py"; do
    # shellcheck disable=SC2086 # the words of a command line
    section "$example" "$python" $example
done
section "Speed" "$python" -m ci.gpu --bench

if [ $# -gt 0 ]; then
    cp "$report" "$1"
fi
exit "$status"
