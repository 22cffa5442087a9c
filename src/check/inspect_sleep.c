/*
 * Lost wakeups (I-SMP-8): somebody sleeps for what is there.
 *
 * Who falls asleep has found it missing, and is on the queue before he lets go of the lock that guards it; who brings
 * it wakes him under the same lock.  So whoever has that lock sees one or the other: it is there, or somebody sleeps
 * for it.  The watchdog would tell both, but knows no more than that nothing goes on, and not before hang-limit.
 */
#include <sys/sleepq.h>
#include <uvm/uvm.h>
#include <uvm/uvm_bio_i.h>
#include <uvm/uvm_loan.h>
#include <uvm/uvm_physio.h>
#include <uvm/uvm_proc.h>

#include "about.h"
#include "inspect_int.h"

static unsigned
forgotten(struct lwp *l, const char *what)
{
	if (l == NULL)
		return 0;
	violation_about(KS_lwp, l->l_id, l);
	violation(VIOL_INVARIANT, CHECK_ID(I_SMP_8), "%s sleeps, and %s", l->l_name, what);
	return 1;
}

static struct lwp *
window_forgotten(void)
{
	struct lwp *l;

	mutex_enter(&ubc_object.uobj.vmobjlock);
	l = !TAILQ_EMPTY(&ubc_object.inactive) ? sleepq_sleeper(&ubc_object.inactive) : NULL;
	mutex_exit(&ubc_object.uobj.vmobjlock);
	return l;
}

unsigned
inspect_sleepers(void)
{
	CHECKS_RAN(CHK_I_SMP_8);
	return forgotten(window_forgotten(), "the window for which it waits is there: who released it did not wake it (ubc_release)") +
	    forgotten(uvm_loanfree_forgotten(), "what it waits for is there: loans that ended, or their end (uvm_loanfree, loanfree_main)") +
	    forgotten(uvm_physio_forgotten(), "raw transfers are complete: who noted them down did not wake it (chunk_biodone)") +
	    forgotten(uvm_aio_forgotten(), "transfers are complete: who noted them down did not wake it (uvm_aio_biodone)") +
	    forgotten(proc_vfork_forgotten(), "the child of vfork for which it waits has left its address space (wake_parent)");
}

unsigned
inspect_drained(struct vm_map *map)
{
	struct lwp *l;

	mutex_enter(&map->misc_lock);
	l = LIST_EMPTY(&map->vslocks) ? sleepq_sleeper(&map->vslocks) : NULL;
	mutex_exit(&map->misc_lock);
	if (l != NULL)
		about_map(map);
	return forgotten(l, "the I/O for whose end it waits is over: who ended it did not wake it (vslock_leave)");
}
