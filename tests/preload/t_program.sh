#!/bin/sh
# uvmstress audit -- CMD, as a user sees it.  TAP.  $1: uvmstress, $2: the conformance cases
set -u
uvmstress=$(realpath "$1") cases=$(realpath "$2") n=0
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 99
mkdir tmp || exit 99
TMPDIR=$dir/tmp
export TMPDIR

# claim NAME: the last command's verdict
claim() {
	# shellcheck disable=SC2181  # that is the point
	[ $? -eq 0 ] && verdict=ok || verdict='not ok'
	n=$((n + 1))
	echo "$verdict $n - $1"
	[ "$verdict" = ok ] || sed 's/^/#   /' err
}

# audit STATUS ARG...: with standard output and error in out and err
audit() {
	want=$1
	shift
	"$uvmstress" audit "$@" >out 2>err
	got=$?
	[ $got -eq "$want" ] || echo "status $got instead of $want" >>err
	[ $got -eq "$want" ]
}

seq 30000 | sort -R >numbers
sort --parallel=4 -S 1M numbers >plain
audit 0 -- sort --parallel=4 -S 1M numbers && cmp -s out plain && grep -q ' 0 violations$' err
claim output_is_unchanged
audit 1 -- "$cases" abba_two_threads && grep -q 'VIOLATION lock-cycle: .*a -> b, b -> a' err
claim violation_is_told_and_1
grep -q 'a wanted at  *take_ba' err && grep -q 'b taken at  *take_ba' err
claim both_stacks_are_told
audit 1 -q -- "$cases" relock_hangs && grep -q 'was killed by SIGALRM' err &&
    grep -q 'VIOLATION locking-against-myself: a:' err
claim finding_survives_the_program
audit 0 -- sh -c 'exit 3' && grep -q '^uvmstress: sh ended with status 3$' err
claim own_failure_is_told
audit 0 -q -- true && [ ! -s err ]
claim quiet_is_quiet
audit 1 -q -- sh -c "'$cases' abab_two_threads; '$cases' ring_3" && grep -q 'mutex@[a-z_]*ring[a-z_]*<' err
claim children_are_audited
audit 0 -- "$cases" gate_lock && grep -q '0 violations; 1 more cannot happen' err
claim gated_is_no_violation
audit 0 -v -- "$cases" gate_lock && grep -q 'grade: guarded: both sides hold gate' err
claim gated_is_told_on_request
audit 1 -q --json graph.json -- "$cases" abba_two_threads
audit 0 -q --baseline graph.json -- "$cases" abba_two_threads
claim known_violations_pass_a_baseline
audit 1 -q --baseline graph.json -- "$cases" ring_3_classes
claim new_ones_do_not
audit 1 -q --json hang.json -- "$cases" relock_hangs
audit 0 -q --baseline hang.json -- "$cases" relock_hangs && grep -q '^the program ended early: ' err &&
    ! grep -q 'nothing that the baseline has not' err
claim a_program_that_was_killed_has_not_passed
# the program itself waits until it reads what was found in its first child; ten minutes are for ever
audit 1 -- sh -c "'$cases' abba_two_threads
    for i in \$(seq 6000); do grep -q 'grade: ' err && exit 0; sleep 0.1; done; exit 9" &&
    ! grep -q 'ended with status' err && [ "$(grep -c 'VIOLATION lock-cycle' err)" -eq 1 ] &&
    grep -q ' 1 violations$' err
claim told_at_once_and_once
echo 'lock-cycle:a>b>* only at start' >waivers
audit 0 --waivers waivers -- "$cases" abba_two_threads && ! grep -q VIOLATION err
claim waived_ones_are_not_told
echo 'lock-cycle:a>b>* only at start' >waivers
audit 0 --waivers waivers -- "$cases" abba_two_threads && grep -q ' 0 violations$' err
claim waived
audit 1 --waivers waivers -- "$cases" ring_3
claim others_are_not
echo 'lock-cycle:a>b>a' >waivers
audit 2 --waivers waivers -- "$cases" abba_two_threads && grep -q 'waivers:1: .* gives no reason' err
claim waiver_without_reason
audit 1 --audit-stop -- "$cases" abba_two_threads && grep -q 'stopped at the first finding' err
claim stop_stops
audit 2 -- ./nowhere && grep -q '^uvmstress: cannot run ./nowhere: No such file' err && [ "$(wc -l <err)" -eq 1 ]
claim no_such_command
audit 2 -- && audit 2 --cpus 4 -- true && grep -q 'about simulated machines' err
claim wrong_usage
"$uvmstress" audit -q -- sh -c 'touch begun; exec sleep 600' 2>err &
while [ ! -e begun ]; do
	sleep 0.1
done
kill -TERM $!
wait $!
[ $? -eq 0 ] && grep -q 'sh was killed by SIGTERM' err
claim a_request_to_end_is_passed_on
[ -z "$(ls -A "$TMPDIR")" ]
claim nothing_is_left_behind
echo "1..$n"
