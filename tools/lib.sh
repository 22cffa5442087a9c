# shellcheck shell=sh
# Shared by quickstart, check and .ci/run: find what is missing, install it, build.
# Sourced with the working directory at the top of the tree.

need_packages="build-essential meson ninja-build pkg-config clang libclang-rt-dev \
liburcu-dev libunwind-dev libbsd-dev libjansson-dev libzstd-dev libdw-dev systemtap-sdt-dev libsqlite3-dev libmicrohttpd-dev mandoc valgrind python3"

say() {
	printf '== %s\n' "$*" >&2
}

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 3
}

# Is all there that a build needs?  Asks the tools themselves, not the package
# manager, so that it holds on systems without dpkg too.
have_all() {
	for tool in cc clang meson ninja pkg-config mandoc valgrind python3; do
		command -v "$tool" >/dev/null 2>&1 || return 1
	done
	pkg-config --exists liburcu-qsbr libunwind libbsd jansson libzstd sqlite3 libmicrohttpd || return 1
	# clang alone does not bring the sanitizers' run-time libraries
	probe=$(mktemp -d)
	echo 'int main(void) { return 0; }' >"$probe/x.c"
	rc=0
	clang -fsanitize=address,undefined -o "$probe/x" "$probe/x.c" >/dev/null 2>&1 || rc=1
	rm -rf "$probe"
	return $rc
}

install_packages() {
	if have_all; then
		return 0
	fi
	command -v apt-get >/dev/null 2>&1 ||
		die "packages are missing and there is no apt-get; needed: $need_packages"
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null 2>&1 ||
			die "packages are missing; as root: apt-get install $need_packages"
		as_root=sudo
	fi
	say "installing packages"
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086  # a list of words
	if ! { $as_root apt-get -q update &&
	    $as_root apt-get -q install -y --no-install-recommends $need_packages; } </dev/null >&2; then
		die "apt-get failed; see above"
	fi
	have_all || die "packages are installed, yet a build tool or library is still missing"
}

# As root in a tree that belongs to somebody else (`sudo tools/quickstart`), do the work as
# that user, so that nothing is left behind that only root can remove.
as_user() {
	owner=$(stat -c %U .)
	if [ "$(id -u)" -eq 0 ] && [ "$owner" != root ] && id "$owner" >/dev/null 2>&1; then
		runuser -u "$owner" -- \
			env HOME="$(getent passwd "$owner" | cut -d: -f6)" "$@"
	else
		"$@"
	fi
}

# setup_build DIR [MESON-OPTION...]: configure unless that is done, then build all.
setup_build() {
	dir=$1
	shift
	if [ ! -f "$dir/build.ninja" ]; then
		as_user meson setup "$dir" "$@" >&2 || die "meson setup $dir failed; see above"
	fi
	as_user ninja -C "$dir" >&2 || die "the build in $dir failed; see above"
}
