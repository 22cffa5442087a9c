#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# The recorder on real programs: t_record.sh TRACE_TOOL.  Skipped without valgrind.
# Exit status, forks that exec and forks that do not, a command that is killed.
tool=$(realpath "$1")
command -v valgrind >/dev/null || exit 77
dir=$(mktemp -d) && cd "$dir" || exit 99
trap 'rm -rf "$dir"' EXIT

fail() {
	echo "$*" >&2
	exit 1
}

# record STATUS COMMAND: the trace is read again and nothing was dropped.
record() {
	wanted=$1
	shift
	"$tool" record t.uvmt "$@" >out 2>err
	got=$?
	[ $got -eq "$wanted" ] || fail "$*: exit status $got, not $wanted: $(cat err)"
	"$tool" info t.uvmt >info || fail "$*: its trace is refused"
	grep -q 'kept by the filter, 0 dropped' info || fail "$*: $(grep dropped info)"
}

record 0 /bin/true
record 4 /bin/sh -c '/bin/true; (exit 3); exit 4'
grep -q '^processes  *3$' info || fail "two forks make three processes: $(cat info)"
grep -q '^  exec  *1$' info || fail "one of them is an exec: $(cat info)"
grep -q '^  wait  *2$' info || fail "both are waited for: $(cat info)"
record 137 /bin/sh -c 'kill -9 $$'

"$tool" record t.uvmt ./no-such-command 2>err
[ $? -eq 2 ] || fail "an unknown command is a usage error"
PATH=$dir "$tool" record t.uvmt /bin/true 2>err
[ $? -eq 3 ] || fail "a host without valgrind is the host's fault"
grep -q 'valgrind is needed' err || fail "$(cat err)"
