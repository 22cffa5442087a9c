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
#include <uvm/uvm_glue.h>
#include <uvm/uvm_km.h>
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

/*
 * A map's cv has two kinds of sleepers: for the end of a busy map, and for addresses.  What each waits for is said,
 * and taken back, under misc_lock.
 */
static unsigned
cv_forgotten(struct vm_map *map)
{
	struct lwp *l;

	mutex_enter(&map->misc_lock);
	/* relaxed: set before the sleeper has misc_lock, cleared under it */
	l = __atomic_load_n(&map->busy, __ATOMIC_RELAXED) == NULL &&
	    !__atomic_load_n(&map->wantva, __ATOMIC_RELAXED) ? cv_sleeper(&map->cv) : NULL;
	mutex_exit(&map->misc_lock);
	if (l != NULL)
		about_map(map);
	return forgotten(l, "its map is not busy, and nobody is said to want addresses: who ended the one or made room did "
	    "not wake it (vm_map_unbusy, uvm_map_wakeva), or it never said so (wait_for_va)");
}

static unsigned
kernel_maps_forgotten(void)
{
	struct vm_map *const maps[] = { kernel_map, mb_map, phys_map, exec_map, uarea_map };
	unsigned bad = 0;

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		bad += cv_forgotten(maps[i]);
	return bad;
}

unsigned
inspect_sleepers(void)
{
	CHECKS_RAN(CHK_I_SMP_8);
	return forgotten(window_forgotten(), "the window for which it waits is there: who released it did not wake it (ubc_release)") +
	    forgotten(uvm_loanfree_forgotten(), "what it waits for is there: loans that ended, or their end (uvm_loanfree, loanfree_main)") +
	    forgotten(uvm_physio_forgotten(), "raw transfers are complete: who noted them down did not wake it (chunk_biodone)") +
	    forgotten(uvm_aio_forgotten(), "transfers are complete: who noted them down did not wake it (uvm_aio_biodone)") +
	    forgotten(proc_vfork_forgotten(), "the child of vfork for which it waits has left its address space (wake_parent)") +
	    forgotten(uvm_uarea_forgotten(), "the swapper is through with the u-area for which it waits, or it is the swapper, and there is work: who brought that about did not wake it (swapout, uvm_swapout_threads)") +
	    kernel_maps_forgotten();
}

unsigned
inspect_map_sleepers(struct vm_map *map)
{
	struct lwp *l;

	mutex_enter(&map->misc_lock);
	l = LIST_EMPTY(&map->vslocks) ? sleepq_sleeper(&map->vslocks) : NULL;
	mutex_exit(&map->misc_lock);
	if (l != NULL)
		about_map(map);
	return cv_forgotten(map) + forgotten(l, "the I/O for whose end it waits is over: who ended it did not wake it (vslock_leave)");
}
