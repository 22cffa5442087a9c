#!/bin/sh
# The rules of the house that are rules about text: who may include what, and which
# calls may not be made.  TAP.
set -u
cd "$1" || exit 99
n=0

# claim NAME SENTENCE OFFENDERS: there must be none
claim() {
	n=$((n + 1))
	found=$3
	if [ -z "$found" ]; then
		echo "ok $n - $1: $2"
	else
		echo "not ok $n - $1: $2"
		echo "$found" | sed 's/^/#   /'
	fi
}

# includes FOLDER... -- PATTERN: lines that include something that matches
includes() {
	folders=
	while [ "$1" != -- ]; do
		folders="$folders $1"
		shift
	done
	# shellcheck disable=SC2086  # a list of folders
	grep -rnE "^#[[:space:]]*include[[:space:]]+[<\"]($2)" $folders --include='*.[ch]'
}

kernel='sys/(mutex|rwlock|condvar|lwp|cpu|intr|sleepq|kmem|pool|lockdebug|lockstat|kernel)\.h'

claim floor_0 "the host floor knows nothing above it" \
	"$(includes src/host include/host -- "$kernel|machine/|uvm/|harness/")"
claim floor_1 "the kernel floor looks neither at the machine nor at UVM" \
	"$(includes src/kern locks include/sys -- 'machine/|uvm/|harness/')"
claim floor_2 "the machine floor does not look at UVM" \
	"$(includes src/machine include/machine -- 'uvm/|harness/')"
claim floor_3 "UVM does not look at the harness" \
	"$(includes src/uvm include/uvm -- 'harness/')"
claim floor_4_workloads "workloads see UVM's outward face only" \
	"$(includes workloads -- 'uvm/uvm\.h|uvm/.*_i\.h|.*pmap_private')"
claim floor_4_text "reports and traces know no kernel" \
	"$(includes src/report src/trace -- "$kernel|machine/|uvm/")"
claim R36_amap_fields "only the amap module sees an amap's fields" \
	"$(includes src include workloads -- 'uvm/uvm_amap_i\.h' | grep -v '^src/uvm/uvm_amap')"
claim R37_headers "there is no vm/ left: headers live in uvm/" \
	"$(ls include/vm 2>/dev/null; includes src include workloads -- 'vm/')"
claim one_seam "threads, time and chance are asked of the host floor only" \
	"$(grep -rnE '(pthread_|sched_yield|clock_gettime|getrandom|[^_]rand\(|urcu)' \
	    src/kern src/machine src/uvm locks workloads --include='*.c')"
# A call may go on for three lines; flags are collected in a variable of that name.
claim R39_plain_enters "no caller in UVM enters a mapping that may not fail" \
	"$(grep -rnE -A3 '[^_a-z]pmap_enter\(' src/uvm --include='*.c' | tr '\n' '~' |
	    sed 's/~--~/\n/g' | tr '~' ' ' | grep 'pmap_enter(' | grep -vE 'CANFAIL|flags\)')"
echo "1..$n"
