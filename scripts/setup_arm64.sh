#!/usr/bin/env bash
# Makes an ARM64 Python with LiteRT, run by QEMU's user-mode emulation, in build/arm64 of the
# checkout, for `python -m scripts.bench.arm64` and its tests. Needs Debian's or Ubuntu's apt-get
# and dpkg-deb, and pip; no root. With a C compiler it also counts instructions.
# A second call with nothing changed returns at once.
set -euo pipefail

fail() {
    echo "setup_arm64: $*" >&2
    exit 2
}

[ $# -eq 0 ] || fail "takes no argument. Received: $*"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
target=$root/build/arm64
fingerprint=$(
    { echo "$root"; cat "${BASH_SOURCE[0]}" "$root/scripts/arm64/counter.c" "$root/constraints.txt"; } |
        cksum
)
[ "$(cat "$target/.setup-stamp" 2>/dev/null)" != "$fingerprint" ] || exit 0

for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || fail "needs Debian's or Ubuntu's $tool, which is not on the PATH"
done
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
"$python" -m pip --version >/dev/null 2>&1 || fail "needs Python with pip; scripts/setup_env.sh makes one"

rm -rf "$target"
mkdir -p "$target"
work=$target/work
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/wheels"
: >"$work/status"

# Package lists for ARM64 are kept apart from this system's own, which stays as it is.
arm64=(
    -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=
    -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache"
)
host=(-o APT::Sandbox::User= -o Dir::State::lists="$work/host/lists" -o Dir::Cache="$work/host/cache")
mkdir -p "$work/host/lists/partial" "$work/host/cache/archives/partial"

fetch() {  # FOLDER "OPTIONS" PACKAGE...: their files, unpacked
    local folder=$1 said
    local -n options=$2
    shift 2
    mkdir -p "$folder" "$work/debs"
    said=$(cd "$work/debs" && apt-get "${options[@]}" download -qq "$@" 2>&1) ||
        fail "apt-get cannot download $* (${said%%$'\n'*})"
    for file in "$work"/debs/*.deb; do dpkg-deb -x "$file" "$folder"; done
    rm -rf "$work/debs"
}

echo "Fetching QEMU and an ARM64 Python; this takes about a minute"
said=$(apt-get "${host[@]}" update -qq 2>&1) || fail "apt-get cannot reach its registry (${said%%$'\n'*})"
said=$(apt-get "${arm64[@]}" update -qq 2>&1) || fail "apt-get has no ARM64 packages (${said%%$'\n'*})"
apt-cache "${host[@]}" show qemu-user >/dev/null 2>&1 || fail "apt-get knows no package qemu-user"
mapfile -t libraries < <(
    apt-get "${host[@]}" install --simulate --no-install-recommends qemu-user | awk '/^Inst/ {print $2}'
)
[ "${#libraries[@]}" -gt 0 ] || libraries=(qemu-user)  # installed already: a copy of it will do
fetch "$target/qemu" host "${libraries[@]}"
find "$target/qemu/usr/bin" -type f ! -name qemu-aarch64 -delete
fetch "$target/root" arm64 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 \
    libgcc-s1 libstdc++6 libatomic1 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5

# LiteRT asks what processor it runs on, and dies where it gets no answer.
mkdir -p "$target/root/proc"
cat >"$target/root/proc/cpuinfo" <<'END'
processor	: 0
BogoMIPS	: 108.00
Features	: fp asimd evtstrm crc32 aes sha1 sha2 pmull cpuid
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x0
CPU part	: 0xd08
CPU revision	: 3

END
cpu=$target/root/sys/devices/system/cpu
mkdir -p "$cpu/cpu0/topology" "$cpu/cpu0/cache"
for name in possible present online kernel_max; do echo 0 >"$cpu/$name"; done
for name in cluster_cpus_list cluster_id core_cpus_list core_id core_siblings_list package_cpus_list \
    physical_package_id thread_siblings_list; do
    echo 0 >"$cpu/cpu0/topology/$name"
done
for name in core_siblings thread_siblings; do echo 1 >"$cpu/cpu0/topology/$name"; done

platforms=()
for name in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014; do
    platforms+=(--platform "${name}_aarch64")
done
mapfile -t wheels < <(
    grep -E '^(ai-edge-litert|numpy|flatbuffers|typing_extensions|backports\.strenum|tqdm|protobuf)==' \
        "$root/constraints.txt"
)
said=$(
    "$python" -m pip download --quiet --disable-pip-version-check --only-binary=:all: --no-deps \
        --python-version 3.11 --implementation cp "${platforms[@]}" -d "$work/wheels" "${wheels[@]}" 2>&1
) || fail "pip cannot download ${wheels[*]} for ARM64 (${said##*$'\n'})"
"$python" - "$work/wheels" "$target/site" <<'END'
import pathlib
import sys
import zipfile

for wheel in pathlib.Path(sys.argv[1]).glob("*.whl"):
    zipfile.ZipFile(wheel).extractall(sys.argv[2])
END

# The launcher: everything after it is a command line of the emulated Python.
libraries=$(find "$target/qemu" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
cat >"$target/python" <<END
#!/bin/sh
# COUNTS, where set, names a file for counts of instructions.
export LD_LIBRARY_PATH="$libraries"
exec "$target/qemu/usr/bin/qemu-aarch64" -cpu neoverse-n1 -L "$target/root" \\
    -U LD_LIBRARY_PATH -E PYTHONPATH="$target/site\${PYTHONPATH:+:\$PYTHONPATH}" \\
    -E PYTHONHASHSEED=0 -E OPENBLAS_NUM_THREADS=1 -E LD_BIND_NOW=1 \\
    \${COUNTS:+-plugin "$target/libcounter.so,out=\$COUNTS"} "$target/root/usr/bin/python3.11" "\$@"
END
chmod +x "$target/python"
said=$("$target/python" -c 'import ai_edge_litert.interpreter, platform; print(platform.machine())' 2>&1) ||
    fail "the emulated Python cannot import LiteRT (${said##*$'\n'})"
[ "${said##*$'\n'}" = aarch64 ] || fail "the emulated Python is none of ARM64. Received: ${said##*$'\n'}"

counts=no
if command -v cc >/dev/null; then
    for version in 1 2 3 4 5; do  # the one that this QEMU speaks
        if cc -O2 -shared -fPIC -w -DPLUGIN_VERSION=$version -o "$target/libcounter.so" \
            "$root/scripts/arm64/counter.c" && COUNTS=$work/counts "$target/python" -c '' 2>/dev/null; then
            counts=yes
            break
        fi
    done
fi
if [ $counts = no ]; then
    rm -f "$target/libcounter.so"
    echo "setup_arm64: instructions will not be counted: no C compiler (cc), or none that QEMU's plugins fit" >&2
fi
rm -rf "$work"
echo "$fingerprint" >"$target/.setup-stamp"
