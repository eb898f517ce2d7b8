# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by every script: where things are, how steps talk and fail.
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=$TOP/build
JOBS=$(nproc)
export TOP BUILD LC_ALL=C

# Which kernel: '' is the series as it is.
#   debug   the same with configs/debug
#   stock   the base with the driver and the tests of the series, no more
#   mutant  the series with something broken on purpose
#   series  one commit of the series after the other
VARIANT=${VARIANT:-}
case $VARIANT in
stock | mutant | series) LINUX=$BUILD/linux-$VARIANT ;;
debug | '') LINUX=$BUILD/linux ;;
*) die "unknown variant '$VARIANT' of the kernel" ;;
esac
SUFFIX=${VARIANT:+-$VARIANT}
export VARIANT

# The caller's make flags and ARCH are not meant for the makes started here.
unset MAKEFLAGS MFLAGS MAKELEVEL ARCH CROSS_COMPILE

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# kbuild and the QEMU command line both stumble over other characters.
case $TOP in
*[!A-Za-z0-9_./+@-]*)
	die "cannot build in '$TOP': use a path of letters, digits and _./+@- only" ;;
esac
mkdir -p "$BUILD/log" "$BUILD/lock" "$BUILD/tmp"
export TMPDIR=$BUILD/tmp

# Compiler caching is a convenience; without ccache everything still builds.
if command -v ccache >/dev/null; then
	CCACHE="ccache "
	export CCACHE_DIR=${CCACHE_DIR:-$BUILD/ccache} CCACHE_BASEDIR=$TOP CCACHE_NOHASHDIR=1
else
	CCACHE=
fi

clock() {
	printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# only_one NAME: wait until no other run of this clone is inside step NAME. A
# script that the holder starts goes on under the holder's lock.
only_one() {
	case ":${HELD:-}:" in *":$1:"*) return ;; esac
	export HELD=${HELD:-}:$1
	exec 9>"$BUILD/lock/$1"
	if ! flock -n 9; then
		echo "      waiting for another run to finish '$1'"
		flock 9
	fi
}

# ticker NAME LOG: say that NAME is alive and what its log ends with.
ticker() {
	local start=$SECONDS every=30 last
	[ ! -t 1 ] || every=1
	while sleep "$every" >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
		last=$(tail -c 300 "$2" | tr -d '\r' | tail -n 1 | cut -c 1-50)
		last="      $1 $(clock $((SECONDS - start))) | ${last#"${last%%[![:space:]]*}"}"
		if [ -t 1 ]; then
			printf '\r\033[K%s' "$last"
		else
			echo "$last"
		fi
	done
}

# logged NAME COMMAND...: run a command with its output in build/log/NAME.log;
# show progress, and on failure the end of the log.
logged() {
	local name=$1 log=$BUILD/log/$1.log rc=0 tick
	shift
	: >"$log"
	ticker "$name" "$log" 9>&- &
	tick=$!
	# shellcheck disable=SC2064
	trap "kill $tick 2>/dev/null || :" EXIT
	"$@" >"$log" 2>&1 </dev/null || rc=$?
	kill "$tick" 2>/dev/null || :
	wait "$tick" 2>/dev/null || :
	trap - EXIT
	[ ! -t 1 ] || printf '\r\033[K'
	if [ "$rc" -ne 0 ]; then
		tail -n 25 "$log" | sed 's/^/      | /' >&2
		die "$name failed; the whole log is $log"
	fi
}

cross() {
	case $1 in
	arm64) echo aarch64-linux-gnu- ;;
	x86_64) echo x86_64-linux-gnu- ;;
	*) die "unknown ARCH '$1': arm64 or x86_64" ;;
	esac
}

# kmake ARCH ARGUMENT...: the kernel's make, in that architecture's build tree,
# or in $KBUILD_OUT.
kmake() {
	local arch=$1 prefix
	prefix=$(cross "$1")
	shift
	make -C "$LINUX" O="${KBUILD_OUT:-$BUILD/kernel-$arch$SUFFIX}" ARCH="$arch" LOCALVERSION= \
		CROSS_COMPILE="$prefix" CC="$CCACHE${prefix}gcc" \
		KBUILD_BUILD_USER=bench KBUILD_BUILD_HOST=bench \
		KBUILD_BUILD_TIMESTAMP="1970-01-01" -j"$JOBS" "$@"
}

digest() {
	sha256sum | cut -d' ' -f1
}
