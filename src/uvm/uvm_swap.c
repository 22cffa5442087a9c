/*
 * Swap slots (uvm-spec 9).
 *
 *	slot	 .--- device number ---.--- index in the device ---.
 *
 * A device has a bitmap of the slots in use, and one of those that I/O errors have
 * spoiled, which stay in use for ever.  Slots are looked for from where the last
 * search ended, so that clusters find neighbouring slots and a slot that was freed
 * just now is not overwritten at once.
 *
 * Devices are on one list, best priority (smallest number) first.  Whoever gave slots
 * goes to the end of those of its own priority: a ring in each.
 *
 * swpgonly, the slots whose data are nowhere else, is counted by those who take pages
 * from owners or give pages to them, with the owner locked, at the moment when the page
 * goes or comes: so it is never less than 0 and never more than the slots in use (B-6).
 *
 * uvm_swap_data_lock is a leaf and nobody sleeps with it.  The counters may be read
 * without it: by the page daemon with a spin lock held, and by reports.
 */
#include <string.h>
#include <sys/kernel.h>
#include <sys/kernhist.h>
#include <uvm/uvm.h>
#include <uvm/uvm_swap_i.h>

kmutex_t uvm_swap_data_lock;
struct swapdev swap_devs[SWAP_MAXDEV];
struct swapcount swapcount;
struct swaplist swap_list;

struct swapdev *
swapdev_of(int slot)
{
	struct swapdev *sdp;

	KASSERTMSG(slot >> SWAPDEV_SHIFT >= 1 && slot >> SWAPDEV_SHIFT <= SWAP_MAXDEV,
	    "I-SWP-8: swap slot %d", slot);
	sdp = &swap_devs[(slot >> SWAPDEV_SHIFT) - 1];
	KASSERTMSG(slot - sdp->swd_drumoffset < sdp->swd_npages, "swap slot %d: device %d has %d",
	    slot, sdp->swd_dev, sdp->swd_npages);
	return sdp;
}

/* => swdata locked: a counter that others read without it */
void
swapcount_add(uint64_t *counter, int n)
{
	KASSERT(mutex_owned(&uvm_swap_data_lock));
	KASSERTMSG(n >= 0 || *counter >= (uint64_t)-n, "I-SWP-1: swap counter underflow");
	/* relaxed: pairs with the loads of swapisfull, uvm_swap_getstat() */
	__atomic_store_n(counter, *counter + (uint64_t)(int64_t)n, __ATOMIC_RELAXED);
}

static uint64_t
count_of(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* => swdata locked, the device on no list */
void
swapdev_insert(struct swapdev *sdp)
{
	struct swapdev *next;

	KASSERT(mutex_owned(&uvm_swap_data_lock));
	TAILQ_FOREACH(next, &swap_list, swd_next)
		if (next->swd_priority > sdp->swd_priority)
			break;
	if (next != NULL)
		TAILQ_INSERT_BEFORE(next, sdp, swd_next);
	else
		TAILQ_INSERT_TAIL(&swap_list, sdp, swd_next);
}

/* --- a device's slots; swdata locked --- */

/* => the first of n free slots in a row, at from or later, or -1 */
static int
find_run(const struct swapdev *sdp, int from, int n)
{
	int run = 0;

	for (int i = from; i < sdp->swd_npages; i++) {
		if (i % 64 == 0 && sdp->swd_inuse[i / 64] == UINT64_MAX) {
			run = 0;
			i += 63;
		} else if (swap_bit(sdp->swd_inuse, i))
			run = 0;
		else if (++run == n)
			return i - n + 1;
	}
	return -1;
}

/* => the first of n slots that are the caller's now, or 0 */
static int
take_slots(struct swapdev *sdp, int n)
{
	int i;

	KASSERTMSG((sdp->swd_flags & SWF_ENABLE) != 0, "I-SWP-6: slots of device %d, which is going, are given out", sdp->swd_dev);
	if (sdp->swd_npages - sdp->swd_npginuse < n)
		return 0;
	i = find_run(sdp, sdp->swd_hint, n);
	if (i < 0)
		i = find_run(sdp, 0, n);
	if (i < 0)
		return 0;
	sdp->swd_hint = i + n < sdp->swd_npages ? i + n : 0;
	for (int k = i; k < i + n; k++) {
		KASSERT(!swap_bit(sdp->swd_inuse, k) && !swap_bit(sdp->swd_bad, k));
		sdp->swd_inuse[k / 64] |= UINT64_C(1) << (k % 64);
	}
	sdp->swd_npginuse += n;
	swapcount_add(&swapcount.sc_swpginuse, n);
	return sdp->swd_drumoffset + i;
}

/* => a run of n of the best device that has one, or 0 */
static int
take_run(int n)
{
	struct swapdev *sdp;
	int slot;

	TAILQ_FOREACH(sdp, &swap_list, swd_next) {
		slot = (sdp->swd_flags & SWF_ENABLE) != 0 ? take_slots(sdp, n) : 0;
		if (slot == 0)
			continue;
		TAILQ_REMOVE(&swap_list, sdp, swd_next);	/* its turn is over */
		swapdev_insert(sdp);
		return slot;
	}
	return 0;
}

int
uvm_swap_alloc(int *n, bool lessok)
{
	int want = *n, slot;

	KASSERT(want > 0 && want <= BUF_MAXPAGES);
	mutex_enter(&uvm_swap_data_lock);
	slot = take_run(want);
	if (slot == 0 && lessok && want > 1) {
		want = 1;
		slot = take_run(want);
	}
	mutex_exit(&uvm_swap_data_lock);
	if (slot != 0) {
		kernhist_log(KE_swap_alloc, (uint32_t)slot, (uint32_t)want, 0);
		*n = want;
	}
	return slot;
}

void
uvm_swap_free(int slot, int n)
{
	struct swapdev *sdp;
	int i;

	KASSERTMSG(slot != 0, "I-SWP-8: swap slot 0 is freed");
	KASSERT(n > 0);
	if (slot == SWSLOT_BAD)
		return;
	kernhist_log(KE_swap_free, (uint32_t)slot, (uint32_t)n, 0);
	mutex_enter(&uvm_swap_data_lock);
	sdp = swapdev_of(slot);
	i = slot - sdp->swd_drumoffset;
	KASSERT(i + n <= sdp->swd_npages);
	for (int k = i; k < i + n; k++) {
		KASSERTMSG(swap_bit(sdp->swd_inuse, k), "I-SWP-4: slot %d is freed twice",
		    sdp->swd_drumoffset + k);
		KASSERTMSG(!swap_bit(sdp->swd_bad, k), "I-SWP-4: bad slot %d is freed",
		    sdp->swd_drumoffset + k);
		sdp->swd_inuse[k / 64] &= ~(UINT64_C(1) << (k % 64));
	}
	sdp->swd_npginuse -= n;
	swapcount_add(&swapcount.sc_swpginuse, -n);
	KASSERTMSG(swapcount.sc_swpgonly <= swapcount.sc_swpginuse,
	    "I-SWP-1: %lu slots in use, %lu of them alone have their data",
	    (unsigned long)swapcount.sc_swpginuse, (unsigned long)swapcount.sc_swpgonly);
	mutex_exit(&uvm_swap_data_lock);
}

void
uvm_swap_markbad(int slot, int n)
{
	struct swapdev *sdp;
	int i;

	mutex_enter(&uvm_swap_data_lock);
	sdp = swapdev_of(slot);
	i = slot - sdp->swd_drumoffset;
	KASSERT(n > 0 && i + n <= sdp->swd_npages);
	for (int k = i; k < i + n; k++) {
		KASSERT(swap_bit(sdp->swd_inuse, k) && !swap_bit(sdp->swd_bad, k));
		sdp->swd_bad[k / 64] |= UINT64_C(1) << (k % 64);
	}
	sdp->swd_npgbad += n;
	swapcount_add(&swapcount.sc_npgbad, n);
	KASSERTMSG(sdp->swd_npgbad <= sdp->swd_npginuse, "I-SWP-1: %d slots are bad, %d in use", sdp->swd_npgbad, sdp->swd_npginuse);
	mutex_exit(&uvm_swap_data_lock);
}

void
uvm_swap_pgonly(int n)
{
	mutex_enter(&uvm_swap_data_lock);
	KASSERTMSG(n >= 0 || swapcount.sc_swpgonly >= (uint64_t)-n,
	    "I-SWP-2: swpgonly would be %ld (B-6)", (long)swapcount.sc_swpgonly + n);
	swapcount_add(&swapcount.sc_swpgonly, n);
	KASSERTMSG(swapcount.sc_swpgonly <= swapcount.sc_swpginuse,
	    "I-SWP-1: swpgonly %lu, swpginuse %lu", (unsigned long)swapcount.sc_swpgonly,
	    (unsigned long)swapcount.sc_swpginuse);
	mutex_exit(&uvm_swap_data_lock);
}

bool
uvm_swapisfull(void)
{
	/* a bad slot is one that can take nothing either */
	return count_of(&swapcount.sc_swpgonly) + count_of(&swapcount.sc_npgbad) >=
	    count_of(&swapcount.sc_swpgavail) * 99 / 100;
}

bool
uvm_swapisfilled(void)
{
	return count_of(&swapcount.sc_swpginuse) >= count_of(&swapcount.sc_swpgavail) * 99 / 100;
}

void
uvm_swap_getstat(struct uvmexp *ue)
{
	ue->nswapdev = count_of(&swapcount.sc_nswapdev);
	ue->swpages = count_of(&swapcount.sc_swpages);
	ue->swpgavail = count_of(&swapcount.sc_swpgavail);
	ue->swpginuse = count_of(&swapcount.sc_swpginuse);
	ue->swpgonly = count_of(&swapcount.sc_swpgonly);
	ue->npgbad = count_of(&swapcount.sc_npgbad);
}
