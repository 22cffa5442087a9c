/*
 * Swap devices: on, off, priorities, statistics (uvm-spec 9.3, 9.4).
 *
 * One change at a time: swap_syscall_lock, held for writing.  A device is a host file,
 * written and read by the simulated disk.
 *
 *	       on		       off: no new slots
 *	absent ---> INUSE|ENABLE <--------------------> INUSE ---> absent
 *				    ENOMEM, EBUSY	  everything is read in
 *
 * The bitmaps are not made of simulated memory: a device can be added when there is
 * none left, which is when it is wanted most.
 */
#include <errno.h>
#include <host/host.h>
#include <limits.h>
#include <string.h>
#include <sys/kernel.h>
#include <uvm/uvm.h>
#include <uvm/uvm_amap.h>
#include <uvm/uvm_aobj.h>
#include <uvm/uvm_swap_i.h>

#define	OFF_ROUNDS	100		/* looks at all owners without a slot less */
#define	OFF_PAUSE_NS	1000000

static krwlock_t swap_syscall_lock;		/* LC_swap_syscall */
static const char *swap_dir;			/* : of the boot's swap files; NULL: the host's choice */

/* => bytes of one bitmap */
static size_t
map_bytes(int npages)
{
	return (size_t)(npages + 63) / 64 * sizeof(uint64_t);
}

void
uvm_swap_init(void)
{
	memset(swap_devs, 0, sizeof(swap_devs));
	memset(&swapcount, 0, sizeof(swapcount));
	TAILQ_INIT(&swap_list);
	mutex_init(&uvm_swap_data_lock, MUTEX_DEFAULT, IPL_NONE, LC_swdata);
	rw_init(&swap_syscall_lock, LC_swap_syscall);
}

/* => swap_syscall_lock held: the device of this number, or NULL */
static struct swapdev *
find_device(int dev)
{
	KASSERT(rw_lock_held(&swap_syscall_lock));
	if (dev < 1 || dev > SWAP_MAXDEV || (swap_devs[dev - 1].swd_flags & SWF_INUSE) == 0)
		return NULL;
	return &swap_devs[dev - 1];
}

/* --- on --- */

/* => swap_syscall_lock held for writing: a place for one more, or NULL */
static struct swapdev *
free_device(void)
{
	for (int i = 0; i < SWAP_MAXDEV; i++)
		if ((swap_devs[i].swd_flags & SWF_INUSE) == 0)
			return &swap_devs[i];
	return NULL;
}

static bool
is_duplicate(const struct host_file_info *hi)
{
	for (int i = 0; i < SWAP_MAXDEV; i++) {
		const struct swapdev *sdp = &swap_devs[i];

		if ((sdp->swd_flags & SWF_INUSE) != 0 && sdp->swd_hostdev == hi->hf_dev &&
		    sdp->swd_hostino == hi->hf_ino)
			return true;
	}
	return false;
}

/* => 0, and the host's file is open; or errno */
static int
open_file(const struct swapon_args *sa, struct host_file_info *hi, int *fdp)
{
	int error;

	memset(hi, 0, sizeof(*hi));
	if (sa->sa_path == NULL) {
		hi->hf_bytes = sa->sa_bytes;
		return host_file_temp(sa->sa_dir != NULL ? sa->sa_dir : swap_dir, sa->sa_bytes, fdp);
	}
	error = host_file_open(sa->sa_path, fdp, hi);
	if (error == 0 && is_duplicate(hi)) {
		host_file_close(*fdp);
		error = EBUSY;
	}
	return error;
}

/* => swap_syscall_lock held for writing, the device unused: its stable fields; 0 or errno */
static int
fill_device(struct swapdev *sdp, const struct swapon_args *sa)
{
	struct host_file_info hi;
	int fd, error;

	error = open_file(sa, &hi, &fd);
	if (error != 0)
		return error;
	if (hi.hf_bytes < PAGE_SIZE || atop(hi.hf_bytes) > UINT64_C(1) << SWAPDEV_SHIFT) {
		host_file_close(fd);
		return EINVAL;
	}
	memset(sdp, 0, sizeof(*sdp));
	sdp->swd_npages = (int)atop(hi.hf_bytes);
	sdp->swd_inuse = host_mem_map(2 * map_bytes(sdp->swd_npages));
	if (sdp->swd_inuse == NULL) {
		host_file_close(fd);
		return ENOMEM;
	}
	sdp->swd_bad = sdp->swd_inuse + map_bytes(sdp->swd_npages) / sizeof(uint64_t);
	sdp->swd_dev = (int)(sdp - swap_devs) + 1;
	sdp->swd_drumoffset = sdp->swd_dev << SWAPDEV_SHIFT;
	sdp->swd_fd = fd;
	sdp->swd_hostdev = hi.hf_dev;
	sdp->swd_hostino = hi.hf_ino;
	sdp->swd_priority = sa->sa_priority;
	snprintf(sdp->swd_path, sizeof(sdp->swd_path), "%s",
	    sa->sa_path != NULL ? sa->sa_path : "(unlinked)");
	return 0;
}

/* => the device is INUSE and may be allocated from, or no longer */
static void
enable(struct swapdev *sdp, bool on)
{
	mutex_enter(&uvm_swap_data_lock);
	KASSERT(((sdp->swd_flags & SWF_ENABLE) != 0) != on);
	sdp->swd_flags ^= SWF_ENABLE;
	swapcount_add(&swapcount.sc_swpgavail, on ? sdp->swd_npages : -sdp->swd_npages);
	mutex_exit(&uvm_swap_data_lock);
}

int
uvm_swap_on(const struct swapon_args *sa, int *devp)
{
	struct swapdev *sdp;
	int error;

	if (sa->sa_priority < 0)
		return EINVAL;
	rw_enter(&swap_syscall_lock, RW_WRITER);
	sdp = free_device();
	error = sdp == NULL ? ENOMEM : fill_device(sdp, sa);
	if (error == 0) {
		mutex_enter(&uvm_swap_data_lock);
		sdp->swd_flags = SWF_INUSE;
		swapdev_insert(sdp);
		swapcount_add(&swapcount.sc_nswapdev, 1);
		swapcount_add(&swapcount.sc_swpages, sdp->swd_npages);
		mutex_exit(&uvm_swap_data_lock);
		enable(sdp, true);
		if (devp != NULL)
			*devp = sdp->swd_dev;
	}
	rw_exit(&swap_syscall_lock);
	return error;
}

/* --- off --- */

/* => swap_syscall_lock held for writing; nobody has a slot of it: what is in use is bad */
static void
remove_device(struct swapdev *sdp)
{
	KASSERT((sdp->swd_flags & (SWF_INUSE | SWF_ENABLE)) == SWF_INUSE);
	mutex_enter(&uvm_swap_data_lock);
	KASSERTMSG(sdp->swd_npginuse == sdp->swd_npgbad, "I-SWP-7: %d slots are in use, %d are bad",
	    sdp->swd_npginuse, sdp->swd_npgbad);
	KASSERT(sdp->swd_inflight == 0);
	TAILQ_REMOVE(&swap_list, sdp, swd_next);
	swapcount_add(&swapcount.sc_nswapdev, -1);
	swapcount_add(&swapcount.sc_swpages, -sdp->swd_npages);
	swapcount_add(&swapcount.sc_swpginuse, -sdp->swd_npgbad);
	swapcount_add(&swapcount.sc_npgbad, -sdp->swd_npgbad);
	sdp->swd_flags = 0;
	mutex_exit(&uvm_swap_data_lock);
	host_mem_unmap(sdp->swd_inuse, 2 * map_bytes(sdp->swd_npages));
	host_file_close(sdp->swd_fd);
}

/* => slots of the device that hold somebody's data, or are to; and transfers not cleaned up */
static int
slots_out(struct swapdev *sdp)
{
	int n;

	mutex_enter(&uvm_swap_data_lock);
	n = sdp->swd_npginuse - sdp->swd_npgbad + sdp->swd_inflight;
	mutex_exit(&uvm_swap_data_lock);
	return n;
}

/*
 * Read in everything that is on the device.
 *
 * A slot that is out may be of a cluster that the page daemon is just making, or of
 * one in flight; an anon may move from an amap that is still to be looked at to one
 * that has been.  So what is out after a look at all owners is no reason to give up,
 * unless it does not get less for OFF_ROUNDS rounds.
 * => swap_syscall_lock held for writing, no slot is given out any more; 0, ENOMEM, EBUSY
 */
static int
empty_device(struct swapdev *sdp)
{
	int first = sdp->swd_drumoffset, last = first + sdp->swd_npages;
	int least = INT_MAX, rounds = 0, n;

	while ((n = slots_out(sdp)) > 0) {
		if (n < least) {
			least = n;
			rounds = 0;
		} else if (++rounds == OFF_ROUNDS)
			return EBUSY;
		if (uao_swap_off(first, last) || amap_swap_off(first, last))
			return ENOMEM;
		if (slots_out(sdp) > 0) {
			UVMCNT(swapoff_wait);
			mutex_enter(&uvm_swap_data_lock);
			(void)mtsleep(sdp, true, "swapoff", OFF_PAUSE_NS, &uvm_swap_data_lock);
		}
	}
	return 0;
}

int
uvm_swap_off(int dev)
{
	struct swapdev *sdp;
	int error;

	rw_enter(&swap_syscall_lock, RW_WRITER);
	sdp = find_device(dev);
	if (sdp == NULL) {
		rw_exit(&swap_syscall_lock);
		return ENXIO;
	}
	enable(sdp, false);
	error = empty_device(sdp);
	if (error == 0) {
		remove_device(sdp);
		UVMCNT(swapoffs);
	} else {
		enable(sdp, true);
		UVMCNT(swapoffs_failed);
	}
	rw_exit(&swap_syscall_lock);
	return error;
}

/* --- priorities and statistics --- */

int
uvm_swap_ctl(int dev, int priority)
{
	struct swapdev *sdp;

	if (priority < 0)
		return EINVAL;
	rw_enter(&swap_syscall_lock, RW_WRITER);
	sdp = find_device(dev);
	if (sdp != NULL) {
		mutex_enter(&uvm_swap_data_lock);
		TAILQ_REMOVE(&swap_list, sdp, swd_next);
		sdp->swd_priority = priority;
		swapdev_insert(sdp);
		mutex_exit(&uvm_swap_data_lock);
	}
	rw_exit(&swap_syscall_lock);
	return sdp != NULL ? 0 : ENOENT;
}

int
uvm_swap_stats(struct swapent *se, int max)
{
	struct swapdev *sdp;
	int n = 0;

	rw_enter(&swap_syscall_lock, RW_READER);
	mutex_enter(&uvm_swap_data_lock);
	TAILQ_FOREACH(sdp, &swap_list, swd_next) {
		if (n == max)
			break;
		se[n].se_dev = sdp->swd_dev;
		se[n].se_enabled = (sdp->swd_flags & SWF_ENABLE) != 0;
		se[n].se_priority = sdp->swd_priority;
		se[n].se_nblks = sdp->swd_npages;
		se[n].se_inuse = sdp->swd_npginuse;
		se[n].se_bad = sdp->swd_npgbad;
		memcpy(se[n].se_path, sdp->swd_path, sizeof(se[n].se_path));
		n++;
	}
	mutex_exit(&uvm_swap_data_lock);
	rw_exit(&swap_syscall_lock);
	return n;
}

/* --- boot and shutdown --- */

int
uvm_swap_boot(uint64_t bytes, int ndev, const char *dir)
{
	struct swapon_args sa = { .sa_dir = dir };
	int error;

	swap_dir = dir;
	if (bytes == 0)
		return 0;
	if (ndev < 1 || ndev > SWAP_MAXDEV)
		return EINVAL;
	sa.sa_bytes = trunc_page(bytes / (unsigned)ndev);
	for (int i = 0; i < ndev; i++) {
		sa.sa_priority = i + 1;
		error = uvm_swap_on(&sa, NULL);
		if (error != 0)
			return error;
	}
	return 0;
}

/* => the device's transfers are over, and cleaned up */
static void
drain(struct swapdev *sdp)
{
	mutex_enter(&uvm_swap_data_lock);
	while (sdp->swd_inflight > 0) {
		mutex_exit(&uvm_swap_data_lock);
		kpause("swdrain", 1000000);
		mutex_enter(&uvm_swap_data_lock);
	}
	mutex_exit(&uvm_swap_data_lock);
}

unsigned
uvm_swap_fini(void)
{
	unsigned leaks = 0;

	for (int i = 0; i < SWAP_MAXDEV; i++) {
		struct swapdev *sdp = &swap_devs[i];

		if ((sdp->swd_flags & SWF_INUSE) == 0)
			continue;
		drain(sdp);
		enable(sdp, false);
		if (sdp->swd_npginuse != sdp->swd_npgbad) {
			violation(VIOL_LEAK, "I-SWP-4", "%d slots of swap device %d did not come back",
			    sdp->swd_npginuse - sdp->swd_npgbad, sdp->swd_dev);
			leaks++;
		}
	}
	if (leaks == 0 && swapcount.sc_swpgonly != 0) {
		violation(VIOL_LEAK, "I-SWP-2", "no slot is in use, and swpgonly is %lu",
		    (unsigned long)swapcount.sc_swpgonly);
		leaks++;
	}
	rw_enter(&swap_syscall_lock, RW_WRITER);
	for (int i = 0; i < SWAP_MAXDEV; i++)
		if ((swap_devs[i].swd_flags & SWF_INUSE) != 0 &&
		    swap_devs[i].swd_npginuse == swap_devs[i].swd_npgbad)
			remove_device(&swap_devs[i]);
	rw_exit(&swap_syscall_lock);
	if (leaks == 0 && memcmp(&swapcount, &(struct swapcount){ 0 }, sizeof(swapcount)) != 0) {
		violation(VIOL_LEAK, "I-SWP-1", "no device is left, and of %lu there are %lu slots, %lu to be had, "
		    "%lu in use, %lu bad", (unsigned long)swapcount.sc_nswapdev,
		    (unsigned long)swapcount.sc_swpages, (unsigned long)swapcount.sc_swpgavail,
		    (unsigned long)swapcount.sc_swpginuse, (unsigned long)swapcount.sc_npgbad);
		leaks++;
	}
	rw_destroy(&swap_syscall_lock);
	mutex_destroy(&uvm_swap_data_lock);
	return leaks;
}
