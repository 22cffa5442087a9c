# SPDX-License-Identifier: BSD-2-Clause
# Completion of uvmstress for bash.  Commands, options, topics and names are asked of the
# program itself, which answers at once, so there is nothing here to grow stale.
_uvmstress()
{
	local program=${COMP_WORDS[0]} cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	local command=${COMP_WORDS[1]} words=
	local -a sub=("$command")

	COMPREPLY=()
	if [[ $COMP_CWORD -eq 1 ]]; then
		words="--help --version $("$program" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p')"
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		return
	fi
	case $prev in
	--schedule) words="free mix random pos pct" ;;
	--audit) words="off order full" ;;
	--interrupts) words="poll signal" ;;
	--export) words="comment kassert edges" ;;
	--inject) words=$("$program" list faults 2>/dev/null | cut -d ' ' -f 1) ;;
	--bug) words=$("$program" list bugs 2>/dev/null | cut -d ' ' -f 1) ;;
	esac
	if [[ -z $words && $cur == -* ]]; then
		[[ $command == trace ]] && sub+=("${COMP_WORDS[2]}")
		words=$("$program" "${sub[@]}" --help 2>/dev/null |
		    sed -n 's/^  \(-.,\|   \) \(--[a-z-]*\).*/\2/p')
		words+=" --help"
	elif [[ -z $words ]]; then
		case $command in
		ctl) words="status top failures show runs pause resume check reload stop" ;;
		list) words="workloads checks counters locks faults bugs global daemon" ;;
		selftest) words="locks preload bugs" ;;
		trace) [[ $COMP_CWORD -eq 2 ]] && words="record info" ;;
		esac
	fi
	if [[ -n $words ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _uvmstress uvmstress
