/*
 * Vnodes and their pager, over real files of the host.
 */
#include "tuvm.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <uvm/uvm_loan.h>

#define	NPAGES	4096
#define	RW	(VM_PROT_READ | VM_PROT_WRITE)

static struct vnode *vp;
static struct uvm_object *obj;

static void
begin(int ncpus, voff_t size)
{
	tu_boot(ncpus, NPAGES);
	vp = tu_file(size);
	obj = &vp->v_uobj;
}

static void
end(void)
{
	tu_unmap_all();
	vrele(vp);
	tu_shutdown();
}

/* --- what the pager asks the pmap, in order (linked with --wrap) --- */

static struct {
	bool	watch;
	int	unclean;	/* modified asked of a page that is not PG_CLEAN */
	int	mapped;		/* ... of one that is mapped writable */
	int	asked;
	void	(*before_protect)(struct vm_page *);
} pm;

bool	__real_pmap_is_modified(struct vm_page *);
bool	__wrap_pmap_is_modified(struct vm_page *);
bool	__real_pmap_clear_modify(struct vm_page *);
bool	__wrap_pmap_clear_modify(struct vm_page *);
void	__real_pmap_clean_protect(struct vm_page *);
void	__wrap_pmap_clean_protect(struct vm_page *);

static void
count_writable(vaddr_t va, uint64_t pte, void *arg)
{
	if (pte & PTE_W)
		++*(int *)arg;
}

bool
__wrap_pmap_is_modified(struct vm_page *pg)
{
	if (pm.watch) {
		pm.asked++;
		pm.unclean += (pg->flags & PG_CLEAN) == 0;
	}
	return __real_pmap_is_modified(pg);
}

bool
__wrap_pmap_clear_modify(struct vm_page *pg)
{
	if (pm.watch) {
		pm.asked++;
		if (curlwp->l_pmap != NULL)
			pmap_foreach(curlwp->l_pmap, count_writable, &pm.mapped);
	}
	return __real_pmap_clear_modify(pg);
}

void
__wrap_pmap_clean_protect(struct vm_page *pg)
{
	if (pm.before_protect != NULL)
		pm.before_protect(pg);
	__real_pmap_clean_protect(pg);
}

/* --- a completion that dawdles, between its pages and its vnode --- */

static bool dawdle;

void	__real_uvm_aio_put(struct uvm_aio *);
void	__wrap_uvm_aio_put(struct uvm_aio *);

void
__wrap_uvm_aio_put(struct uvm_aio *aio)
{
	bool wait = dawdle && aio->ua_iodone != NULL;

	__real_uvm_aio_put(aio);
	if (wait)
		kpause("dawdle", 5000000);
}

/* --- get --- */

KTEST(page_holds_what_the_file_holds, "page holds what the file holds")
{
	struct vm_page *pg;

	begin(1, 20 * PAGE_SIZE);
	for (int p = 19; p >= 0; p--) {
		pg = tu_resident(obj, (voff_t)ptoa(p));
		CHECK((pg->flags & PG_CLEAN) != 0 && (pg->pqflags & PQ_ACTIVE) != 0);
		for (size_t i = 0; i < PAGE_SIZE / 8; i++)
			CHECK(tu_words(pg)[i] == tu_word((voff_t)(ptoa(p) + i * 8)));
	}
	CHECK_EQ(uvm_gauge(UVMG_filepages), 20);
	end();
}

/* One transfer for an aligned block of 16, but only what is missing of it. */
KTEST(reads_come_in_clusters, "reads come in clusters")
{
	uint64_t before;

	begin(1, 40 * PAGE_SIZE);
	before = disk_requests(false);
	tu_resident(obj, (voff_t)ptoa(18));
	CHECK_EQ(disk_requests(false) - before, 1);
	CHECK(tu_lookup(obj, (voff_t)ptoa(16)) != NULL && tu_lookup(obj, (voff_t)ptoa(31)) != NULL);
	CHECK(tu_lookup(obj, (voff_t)ptoa(15)) == NULL && tu_lookup(obj, (voff_t)ptoa(32)) == NULL);
	CHECK_EQ(tu_put(obj, (voff_t)ptoa(18), (voff_t)ptoa(22), PGO_FREE), 0);
	tu_resident(obj, (voff_t)ptoa(20));
	CHECK_EQ(disk_requests(false) - before, 2);
	CHECK_EQ(tu_count(UVMC_fileread_pages), 20);
	CHECK_EQ(tu_put(obj, (voff_t)ptoa(18), (voff_t)ptoa(22), PGO_FREE), 0);
	tu_resident(obj, (voff_t)ptoa(23));	/* it is there: no reason to read others */
	CHECK_EQ(disk_requests(false) - before, 2);
	end();
}

/* => page i alone, by that advice, for reading or writing; let go */
static void
get_one(int i, vm_prot_t access, int advice)
{
	struct vm_page *pg = NULL;
	int n = 1;

	mutex_enter(&obj->vmobjlock);
	CHECK_EQ(obj->pgops->pgo_get(obj, (voff_t)ptoa(i), &pg, &n, 0, access, advice, 0), 0);
	tu_unbusy(pg);
}

KTEST(neighbours_are_read_when_they_are_cheap, "not by who looks here and there, nor when memory is short, nor until it is")
{
	begin(1, 64 * PAGE_SIZE);
	get_one(5, VM_PROT_READ, UVM_ADV_RANDOM);
	CHECK_EQ(obj->uo_npages, 1);
	tu_take(tu_free() - uvm.freetarg - 5, 0);
	get_one(16 + 12, VM_PROT_READ, UVM_ADV_NORMAL);
	CHECK(tu_lookup(obj, (voff_t)ptoa(16 + 12)) != NULL && tu_lookup(obj, (voff_t)ptoa(16)) != NULL);
	CHECK(uvm.free == uvm.freetarg - 1 && obj->uo_npages == 7);
	get_one(32 + 12, VM_PROT_READ, UVM_ADV_NORMAL);
	CHECK_EQ(obj->uo_npages, 8);
	tu_release();
	end();
}

KTEST(range_over_two_blocks_is_had_as_a_whole, "blocks are what is read at once, no limit to what is asked for")
{
	struct vm_page *pps[4] = { NULL };
	int n = 4;

	begin(1, 40 * PAGE_SIZE);
	mutex_enter(&obj->vmobjlock);
	CHECK_EQ(obj->pgops->pgo_get(obj, (voff_t)ptoa(14), pps, &n, 0, VM_PROT_READ, UVM_ADV_NORMAL, 0), 0);
	CHECK_EQ(n, 4);
	for (int i = 0; i < 4; i++) {
		CHECK(pps[i] != NULL && tu_words(pps[i])[0] == tu_word((voff_t)ptoa(14 + i)));
		tu_unbusy(pps[i]);
	}
	end();
}

/* | page 0: data | 1: a hole | 2: a hole | 3: data, EOF */
KTEST(blocks_are_for_pages_that_are_stored_to, "their neighbours in a hole get none, and the end of a file is no hole")
{
	begin(1, 8);
	CHECK_EQ(vnode_truncate(vp, 3 * (voff_t)PAGE_SIZE + 8), 0);
	CHECK(pwrite(vp->v_fd, &(uint64_t){ 7 }, 8, 3 * PAGE_SIZE) == 8);
	get_one(1, VM_PROT_READ, UVM_ADV_NORMAL);
	for (int i = 0; i < 4; i++)
		CHECK(((tu_lookup(obj, (voff_t)ptoa(i))->flags & PG_RDONLY) != 0) == (i == 1 || i == 2));
	CHECK_EQ(vnode_truncate(vp, 0), 0);
	CHECK_EQ(vnode_truncate(vp, 16 * (voff_t)PAGE_SIZE), 0);
	get_one(5, VM_PROT_READ | VM_PROT_WRITE, UVM_ADV_NORMAL);
	CHECK_EQ(tu_count(UVMC_filealloc), 1);
	for (int i = 0; i < 16; i++)
		CHECK(((tu_lookup(obj, (voff_t)ptoa(i))->flags & PG_RDONLY) != 0) == (i != 5));
	end();
}

/* |.... page 0 ....|.... page 1 ..EOF 000|   off >= round_page(size): EINVAL */
KTEST(T65_tail_of_the_last_page_is_zero_and_behind_it_is_EINVAL, "T65 tail of the last page is zero and behind it is EINVAL")
{
	struct vm_page *pg;

	begin(1, PAGE_SIZE + 100);
	tu_take(500, 0);
	tu_release();			/* the frames that come next hold something */
	pg = tu_resident(obj, (voff_t)PAGE_SIZE);
	CHECK(tu_words(pg)[11] == tu_word((voff_t)PAGE_SIZE + 88));
	CHECK((tu_words(pg)[12] >> 32) == 0);
	for (size_t i = 13; i < PAGE_SIZE / 8; i++)
		CHECK(tu_words(pg)[i] == 0);
	CHECK_EQ(tu_get_error(obj, 2 * (voff_t)PAGE_SIZE, 0), EINVAL);
	end();
}

KTEST(R18_get_answers_in_errno_values, "R18 get answers in errno values")
{
	struct vnode *bad;

	begin(1, 2 * PAGE_SIZE);
	CHECK_EQ(tu_get_error(obj, 0, PGO_LOCKED), EBUSY);	/* needs I/O */
	CHECK_EQ(tu_get_error(obj, 0, 0), 0);
	CHECK_EQ(tu_get_error(obj, 0, PGO_LOCKED), 0);
	CHECK_EQ(tu_get_error(obj, 2 * (voff_t)PAGE_SIZE, 0), EINVAL);
	bad = vnode_create("bad", open("/dev/null", O_WRONLY), (voff_t)PAGE_SIZE);
	CHECK_EQ(tu_get_error(&bad->v_uobj, 0, 0), EIO);
	CHECK(bad->v_uobj.uo_npages == 0);			/* a page without content is freed */
	vrele(bad);
	end();
}

KTEST(get_without_memory_is_ENOMEM_and_leaves_no_page, "get without memory is ENOMEM and leaves no page")
{
	begin(1, 4 * PAGE_SIZE);
	tu_resident(obj, 0);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);
	tu_take(NPAGES, 0);
	CHECK_EQ(tu_get_error(obj, 0, 0), ENOMEM);
	CHECK_EQ(obj->uo_npages, 0);
	tu_release();
	CHECK_EQ(tu_get_error(obj, 0, 0), 0);
	end();
}

KTEST(B25_overwrite_get_reads_nothing_and_says_so, "overwrite get reads nothing and says so")
{
	struct vm_page *pg = NULL;
	uint64_t before;
	int n = 1;

	begin(1, 4 * PAGE_SIZE);
	before = disk_requests(false);
	CHECK_EQ(tu_get_error(obj, 0, PGO_OVERWRITE), 0);
	pg = tu_lookup(obj, 0);
	CHECK(pg != NULL && (pg->flags & (PG_FAKE | PG_CLEAN)) == 0 && tu_words(pg)[0] == 0);
	mutex_enter(&obj->vmobjlock);
	CHECK_EQ(obj->pgops->pgo_get(obj, (voff_t)PAGE_SIZE, &(struct vm_page *){ NULL }, &n, 0,
	    VM_PROT_READ, UVM_ADV_NORMAL, PGO_LOCKED), EBUSY);
	pg = NULL;
	n = 1;
	CHECK_EQ(obj->pgops->pgo_get(obj, (voff_t)PAGE_SIZE, &pg, &n, 0, VM_PROT_WRITE,
	    UVM_ADV_NORMAL, PGO_OVERWRITE), 0);
	mutex_enter(&obj->vmobjlock);
	CHECK((pg->flags & (PG_BUSY | PG_FAKE)) == (PG_BUSY | PG_FAKE));
	pg->flags |= PG_RELEASED;
	uvm_lock_pageq();
	uvm_page_unbusy(&pg, 1);
	uvm_unlock_pageq();
	mutex_exit(&obj->vmobjlock);
	CHECK(tu_lookup(obj, (voff_t)PAGE_SIZE) == NULL);
	CHECK_EQ(disk_requests(false), before);
	end();
}

/* --- put --- */

KTEST(put_writes_what_was_stored_through_a_mapping, "put writes what was stored through a mapping")
{
	struct vm_page *pg;

	begin(1, 4 * PAGE_SIZE);
	pg = tu_resident(obj, (voff_t)PAGE_SIZE);
	tu_map(pg, 0, RW, VM_PROT_WRITE);
	tu_store(0, 4711);
	CHECK(tu_host_word(vp, (voff_t)PAGE_SIZE) == tu_word((voff_t)PAGE_SIZE));
	CHECK_EQ(vnode_fsync(vp), 0);
	CHECK_EQ(tu_host_word(vp, (voff_t)PAGE_SIZE), 4711);
	CHECK((pg->flags & PG_CLEAN) != 0 && !pmap_is_modified(pg));
	CHECK(tu_mapped(0));				/* cleaned, not revoked */
	end();
}

KTEST(put_does_not_write_a_clean_page, "put does not write a clean page")
{
	uint64_t before;

	begin(1, 4 * PAGE_SIZE);
	tu_map(tu_resident(obj, 0), 0, RW, VM_PROT_READ);
	tu_load(0);
	before = disk_requests(true);
	CHECK_EQ(vnode_fsync(vp), 0);
	CHECK_EQ(disk_requests(true), before);
	end();
}

/* The file must not grow to whole pages. */
KTEST(put_of_the_last_page_ends_with_the_file, "put of the last page ends with the file")
{
	struct vm_page *pg;

	begin(1, PAGE_SIZE + 100);
	pg = tu_resident(obj, (voff_t)PAGE_SIZE);
	tu_map(pg, 0, RW, VM_PROT_WRITE);
	tu_store(0, 4711);
	CHECK_EQ(vnode_fsync(vp), 0);
	CHECK_EQ(tu_host_word(vp, (voff_t)PAGE_SIZE), 4711);
	CHECK_EQ(tu_host_size(vp), PAGE_SIZE + 100);
	end();
}

/* ..ddddddCd..  dirty neighbours in the block go out with the page asked for */
KTEST(writes_come_in_clusters, "writes come in clusters")
{
	uint64_t before;

	begin(1, 32 * PAGE_SIZE);
	for (int i = 2; i < 14; i++) {
		tu_map(tu_resident(obj, (voff_t)ptoa(i)), i, RW, VM_PROT_WRITE);
		if (i != 10)
			tu_store(i, (uint64_t)i);
	}
	tu_map(tu_resident(obj, 0), 0, RW, VM_PROT_READ);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_DEACTIVATE | PGO_CLEANIT | PGO_SYNCIO), 0);
	tu_unmap_all();
	for (int i = 2; i < 14; i++)
		tu_map(tu_resident(obj, (voff_t)ptoa(i)), i, RW, i == 10 ? VM_PROT_READ : VM_PROT_WRITE);
	for (int i = 2; i < 14; i++)
		if (i != 10)
			tu_store(i, 100 + (uint64_t)i);
	before = disk_requests(true);
	CHECK_EQ(tu_put(obj, (voff_t)ptoa(8), (voff_t)ptoa(9), PGO_CLEANIT | PGO_SYNCIO), 0);
	CHECK_EQ(disk_requests(true) - before, 1);
	for (int i = 2; i < 10; i++)
		CHECK_EQ(tu_host_word(vp, (voff_t)ptoa(i)), 100 + i);
	CHECK(tu_host_word(vp, (voff_t)ptoa(11)) == 11);
	end();
}

/* R19: 0 is "started"; completion may come before put returns, and cleans up alone. */
KTEST(R19_T79_async_put_is_cleaned_up_by_its_completion, "R19 T79 async put is cleaned up by its completion")
{
	struct vm_page *pg;

	begin(2, 4 * PAGE_SIZE);
	for (uint64_t i = 0; i < 50; i++) {
		pg = tu_resident(obj, 0);
		tu_map(pg, 0, RW, VM_PROT_WRITE);
		tu_store(0, i);
		CHECK_EQ(tu_put(obj, 0, (voff_t)PAGE_SIZE, PGO_CLEANIT | (i & 1 ? PGO_FREE : 0)), 0);
		if (i & 1)
			TU_WAIT(tu_lookup(obj, 0) == NULL);
		else
			TU_WAIT(tu_get_error(obj, 0, PGO_LOCKED) == 0);
		CHECK_EQ(tu_host_word(vp, 0), i);
		tu_unmap_all();
	}
	end();
}

KTEST(R19_sync_put_returns_after_the_clean_up, "R19 sync put returns after the clean up")
{
	struct vm_page *pg;

	begin(2, 4 * PAGE_SIZE);
	for (uint64_t i = 0; i < 50; i++) {
		pg = tu_resident(obj, 0);
		tu_map(pg, 0, RW, VM_PROT_WRITE);
		tu_store(0, i);
		CHECK_EQ(tu_put(obj, 0, 0, PGO_CLEANIT | PGO_FREE | PGO_SYNCIO), 0);
		CHECK(tu_lookup(obj, 0) == NULL && vp->v_numoutput == 0);
		CHECK_EQ(tu_host_word(vp, 0), i);
		tu_unmap_all();
	}
	end();
}

/* Another CPU that stores when it is told to. */
static struct {
	struct pmap	*pmap;
	int		 state;		/* atomic: 0 wait, 1 store, 2 stored, 3 stop */
} st;

static void
storer(void *arg)
{
	int state;

	curlwp->l_pmap = st.pmap;
	pmap_activate(curlwp);
	while ((state = __atomic_load_n(&st.state, __ATOMIC_ACQUIRE)) != 3) {
		if (state == 1) {
			tu_store(0, 4712);
			__atomic_store_n(&st.state, 2, __ATOMIC_RELEASE);
		}
		lwp_userret(1);
		yield();
	}
	curlwp->l_pmap = NULL;
	pmap_activate(curlwp);
}

static void
store_now(struct vm_page *pg)
{
	unsigned spins = 0;

	pm.before_protect = NULL;
	__atomic_store_n(&st.state, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&st.state, __ATOMIC_ACQUIRE) != 2)
		host_relax(&spins);
}

/* A store just before the protection goes out; after it none gets in unseen. */
KTEST(T64_I_OBJ_7_protection_comes_before_the_question,
    "no store is lost between the protection and the question whether there was one")
{
	struct lwp *l;

	begin(2, 4 * PAGE_SIZE);
	tu_map(tu_resident(obj, 0), 0, RW, VM_PROT_WRITE);
	st.pmap = curlwp->l_pmap;
	CHECK_EQ(lwp_create(&l, NULL, "storer", storer, NULL), 0);
	lwp_start(l);
	pm.before_protect = store_now;
	pm.watch = true;
	CHECK_EQ(vnode_fsync(vp), 0);
	pm.watch = false;
	__atomic_store_n(&st.state, 3, __ATOMIC_RELEASE);
	lwp_wait(l);
	CHECK_EQ(tu_host_word(vp, 0), 4712);
	CHECK(pm.asked > 0 && pm.mapped == 0);
	end();
}

KTEST(R21_modified_is_not_asked_of_a_page_that_is_dirty_anyway, "R21 modified is not asked of a page that is dirty anyway")
{
	begin(1, 4 * PAGE_SIZE);
	pm.watch = true;
	CHECK_EQ(tu_get_error(obj, 0, PGO_OVERWRITE), 0);	/* dirty */
	CHECK_EQ(tu_put(obj, 0, 0, PGO_CLEANIT | PGO_FREE | PGO_SYNCIO), 0);
	CHECK_EQ(pm.asked, 0);
	tu_resident(obj, 0);					/* clean */
	CHECK_EQ(tu_put(obj, 0, (voff_t)PAGE_SIZE, PGO_CLEANIT | PGO_FREE | PGO_SYNCIO), 0);
	CHECK(pm.asked > 0);
	CHECK_EQ(pm.unclean, 0);
	pm.watch = false;
	end();
}

KTEST(write_error_keeps_the_data_and_is_reported, "write error keeps the data and is reported")
{
	struct vm_page *pg;
	int good;

	begin(1, 2 * PAGE_SIZE);
	pg = tu_resident(obj, 0);
	tu_map(pg, 0, RW, VM_PROT_WRITE);
	tu_store(0, 4711);
	good = vp->v_fd;
	vp->v_fd = open("/dev/full", O_RDWR);
	CHECK_EQ(vnode_fsync(vp), ENOSPC);
	CHECK(tu_lookup(obj, 0) == pg && tu_words(pg)[0] == 4711);
	CHECK((pg->flags & (PG_CLEAN | PG_BUSY)) == 0);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_CLEANIT), 0);		/* asynchronous: nobody waits */
	CHECK_EQ(vnode_fsync(vp), ENOSPC);
	close(vp->v_fd);
	vp->v_fd = good;
	CHECK_EQ(vnode_fsync(vp), 0);
	CHECK_EQ(tu_host_word(vp, 0), 4711);
	end();
}

/* => the only page, stored to, is on its way to the file, and nobody waits for it */
static struct vm_page *
start_write(uint64_t value)
{
	struct vm_page *pg = tu_resident(obj, 0);

	tu_map(pg, 0, RW, VM_PROT_WRITE);
	tu_store(0, value);
	CHECK_EQ(tu_put(obj, 0, (voff_t)PAGE_SIZE, PGO_CLEANIT), 0);
	return pg;
}

KTEST(error_that_nobody_waited_for_is_told_by_fsync, "once, though nothing is left to be written")
{
	int good;

	begin(1, PAGE_SIZE);
	good = vp->v_fd;
	vp->v_fd = open("/dev/full", O_RDWR);
	(void)start_write(4711);
	TU_WAIT(vp->v_numoutput == 0);
	close(vp->v_fd);
	vp->v_fd = good;
	CHECK_EQ(vnode_fsync(vp), ENOSPC);
	CHECK_EQ(tu_host_word(vp, 0), 4711);
	CHECK_EQ(vnode_fsync(vp), 0);
	end();
}

KTEST(fsync_waits_for_the_end_of_output, "the page is not busy any more, its write not yet counted out; the last one wakes who waits")
{
	begin(2, PAGE_SIZE);
	dawdle = true;
	(void)start_write(4711);
	CHECK_EQ(vnode_fsync(vp), 0);
	CHECK_EQ(vp->v_numoutput, 0);
	dawdle = false;
	end();
}

KTEST(truncation_waits_for_the_end_of_output, "T-65: a write that began before the file is cut has ended when it is")
{
	begin(2, PAGE_SIZE);
	dawdle = true;
	(void)start_write(4711);
	CHECK_EQ(vnode_truncate(vp, 16), 0);
	CHECK_EQ(vp->v_numoutput, 0);
	dawdle = false;
	CHECK_EQ(tu_host_size(vp), 16);
	end();
}

KTEST(last_reference_waits_for_the_end_of_output, "whoever counts a write out finds the vnode")
{
	begin(2, PAGE_SIZE);
	dawdle = true;
	(void)start_write(4711);
	end();
}

KTEST(busy_page_in_the_way, "is an error, is passed by, or is waited for, as flags say")
{
	struct vm_page *pg;

	begin(1, PAGE_SIZE);
	pg = start_write(1);
	CHECK((pg->flags & PG_BUSY) != 0);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_CLEANIT | PGO_BUSYFAIL), EDEADLK);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_CLEANIT), 0);
	CHECK_EQ(tu_put(obj, 0, (voff_t)PAGE_SIZE, PGO_CLEANIT | PGO_FREE | PGO_PDFREECLUST), 0);
	CHECK((pg->flags & PG_BUSY) != 0);		/* nobody has waited */
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);
	CHECK(tu_lookup(obj, 0) == NULL);
	CHECK_EQ(tu_host_word(vp, 0), 1);
	end();
}

KTEST(what_is_written_is_deactivated, "by who asks for both; a wired page is on no queue, and stays there")
{
	struct vm_page *pg;

	begin(1, PAGE_SIZE);
	for (uint32_t wired = 0; wired < 2; wired++) {
		pg = tu_resident(obj, 0);
		tu_map(pg, 0, RW, VM_PROT_WRITE);
		tu_store(0, wired);
		uvm_lock_pageq();
		if (wired)
			uvm_pagewire(pg);
		else
			uvm_pageactivate(pg);
		uvm_unlock_pageq();
		CHECK_EQ(tu_put(obj, 0, 0, PGO_CLEANIT | PGO_DEACTIVATE | PGO_SYNCIO), 0);
		CHECK_EQ((pg->pqflags & PQ_INACTIVE) != 0, wired == 0);
		CHECK_EQ(pg->wire_count, wired);
		tu_unmap_all();
	}
	uvm_lock_pageq();
	uvm_pageunwire(pg);
	uvm_unlock_pageq();
	end();
}

KTEST(T19_wired_page_is_not_freed, "T19 wired page is not freed")
{
	struct vm_page *pg;

	begin(1, 2 * PAGE_SIZE);
	pg = tu_resident(obj, 0);
	uvm_lock_pageq();
	uvm_pagewire(pg);
	uvm_unlock_pageq();
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), EBUSY);
	CHECK(tu_lookup(obj, 0) == pg);
	uvm_lock_pageq();
	uvm_pageunwire(pg);
	uvm_unlock_pageq();
	end();
}

/* => pages 0 to n-1 were stored to, by mappings that are gone */
static void
store_all(int n)
{
	for (int i = 0; i < n; i++) {
		tu_map(tu_resident(obj, (voff_t)ptoa(i)), i, RW, VM_PROT_WRITE);
		tu_store(i, 100 + (uint64_t)i);
	}
	tu_unmap_all();
}

static void
wire(struct vm_page *pg, bool yes)
{
	uvm_lock_pageq();
	if (yes)
		uvm_pagewire(pg);
	else
		uvm_pageunwire(pg);
	uvm_unlock_pageq();
}

KTEST(neighbours_are_written_and_stay, "what goes out with a page that is to be freed is only cleaned")
{
	begin(1, 4 * PAGE_SIZE);
	store_all(4);
	CHECK_EQ(tu_put(obj, (voff_t)PAGE_SIZE, 2 * (voff_t)PAGE_SIZE, PGO_CLEANIT | PGO_FREE | PGO_SYNCIO), 0);
	for (int i = 0; i < 4; i++) {
		struct vm_page *pg = tu_lookup(obj, (voff_t)ptoa(i));

		CHECK(i == 1 ? pg == NULL : pg != NULL && (pg->flags & PG_CLEAN) != 0);
		CHECK_EQ(tu_host_word(vp, (voff_t)ptoa(i)), 100 + i);
	}
	end();
}

KTEST(T19_wired_neighbour_is_not_freed, "T19 a wired page between pages that are written and freed stays")
{
	struct vm_page *pg;

	begin(1, 4 * PAGE_SIZE);
	store_all(4);
	pg = tu_lookup(obj, (voff_t)PAGE_SIZE);
	wire(pg, true);
	(void)tu_put(obj, 0, 0, PGO_CLEANIT | PGO_FREE | PGO_SYNCIO);
	CHECK(tu_lookup(obj, (voff_t)PAGE_SIZE) == pg && pg->wire_count == 1 && obj->uo_npages == 1);
	wire(pg, false);
	CHECK_EQ(vnode_fsync(vp), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(tu_host_word(vp, (voff_t)ptoa(i)), 100 + i);
	end();
}

KTEST(T65_wired_page_behind_the_end_is_not_written, "a wired page that a truncation left behind does not make the file longer")
{
	struct vm_page *pg;

	begin(1, 4 * PAGE_SIZE);
	store_all(4);
	pg = tu_lookup(obj, 3 * (voff_t)PAGE_SIZE);
	wire(pg, true);
	(void)vnode_truncate(vp, (voff_t)PAGE_SIZE);
	CHECK(tu_lookup(obj, 3 * (voff_t)PAGE_SIZE) == pg && vp->v_size == (voff_t)PAGE_SIZE);
	CHECK_EQ(tu_words(pg)[0], 0);			/* what was cut off is gone */
	pg->flags &= ~PG_CLEAN;
	CHECK_EQ(vnode_fsync(vp), 0);
	CHECK_EQ(tu_host_size(vp), PAGE_SIZE);
	wire(pg, false);
	CHECK_EQ(tu_put(obj, (voff_t)PAGE_SIZE, 0, PGO_FREE), 0);
	end();
}

KTEST(last_reference_writes_back, "last reference writes back")
{
	int fd, own;
	uint64_t w;

	begin(1, 2 * PAGE_SIZE);
	own = vp->v_fd;
	fd = dup(own);
	tu_map(tu_resident(obj, 0), 0, RW, VM_PROT_WRITE);
	tu_store(0, 4711);
	end();
	CHECK(pread(fd, &w, sizeof(w), 0) == sizeof(w) && w == 4711);
	CHECK(fcntl(own, F_GETFD) == -1);
	close(fd);
}

/* --- size --- */

KTEST(T65_truncated_pages_go_with_their_mappings, "T65 truncated pages go with their mappings")
{
	struct vm_page *pg;

	begin(1, 4 * PAGE_SIZE);
	for (int i = 0; i < 4; i++) {
		tu_map(tu_resident(obj, (voff_t)ptoa(i)), i, RW, VM_PROT_WRITE);
		tu_store(i, 1);
	}
	CHECK_EQ(vnode_truncate(vp, (voff_t)PAGE_SIZE + 8), 0);
	CHECK_EQ(tu_count(UVMC_filetrunc_pages), 2);
	CHECK(tu_mapped(0) && tu_mapped(1) && !tu_mapped(2) && !tu_mapped(3));
	CHECK_EQ(tu_host_size(vp), PAGE_SIZE + 8);
	CHECK_EQ(tu_get_error(obj, 2 * (voff_t)PAGE_SIZE, 0), EINVAL);
	pg = tu_lookup(obj, (voff_t)PAGE_SIZE);
	CHECK(tu_words(pg)[0] == 1 && tu_words(pg)[1] == 0 && tu_words(pg)[511] == 0);
	CHECK_EQ(vnode_truncate(vp, 4 * (voff_t)PAGE_SIZE), 0);
	CHECK_EQ(tu_host_size(vp), 4 * PAGE_SIZE);
	pg = tu_resident(obj, 3 * (voff_t)PAGE_SIZE);
	for (size_t i = 0; i < PAGE_SIZE / 8; i++)
		CHECK(tu_words(pg)[i] == 0);
	CHECK_EQ(vnode_fsync(vp), 0);
	CHECK(tu_host_word(vp, (voff_t)PAGE_SIZE) == 1 && tu_host_word(vp, (voff_t)PAGE_SIZE + 8) == 0);
	end();
}

/* |8 bytes ......|...............|   announced: two pages, of which one is in the host's file already
 * |16 bytes 0000000|                what is reached                                          */
KTEST(T65_extension_that_ends_early, "what lay behind its end, in memory and in the host's file, goes")
{
	struct vm_page *pg, *next = NULL;
	int n = 1;

	begin(1, 8);
	tu_take(500, 0);
	tu_release();			/* the frames that come next hold something */
	pg = tu_resident(obj, 0);
	tu_map(pg, 0, RW, VM_PROT_WRITE);
	rw_enter(&vp->v_lock, RW_WRITER);
	uvm_vnp_setwritesize(vp, 2 * (voff_t)PAGE_SIZE);
	CHECK_EQ(user_store(TU_VA + 8, 4711), 0);
	CHECK_EQ(user_store(TU_VA + 64, 0xbad), 0);
	CHECK(pwrite(vp->v_fd, &(uint64_t){ 0xbad }, 8, 64) == 8);
	mutex_enter(&obj->vmobjlock);
	CHECK_EQ(obj->pgops->pgo_get(obj, (voff_t)PAGE_SIZE, &next, &n, 0, VM_PROT_READ, UVM_ADV_NORMAL,
	    PGO_PASTEOF), 0);
	for (size_t i = 0; i < PAGE_SIZE / 8; i++)
		CHECK(tu_words(next)[i] == 0);	/* the host has nothing of it: a short read */
	tu_unbusy(next);
	uvm_vnp_endwrite(vp, 16);
	rw_exit(&vp->v_lock);
	CHECK(vp->v_size == 16 && vp->v_writesize == 16 && tu_lookup(obj, (voff_t)PAGE_SIZE) == NULL);
	CHECK(tu_words(pg)[1] == 4711 && tu_words(pg)[8] == 0);
	CHECK_EQ(tu_host_size(vp), 16);
	end();
}

KTEST(T65_truncation_breaks_loans, "of a page that is zeroed behind the end; the borrower keeps it as it was")
{
	struct vm_page *lent, *pg;

	begin(1, PAGE_SIZE);
	lent = tu_resident(obj, 0);
	tu_lend(lent);
	CHECK_EQ(vnode_truncate(vp, 8), 0);
	pg = tu_lookup(obj, 0);
	CHECK(pg != lent && (pg->pqflags & PQ_ACTIVE) != 0);
	CHECK(tu_words(pg)[0] == tu_word(0) && tu_words(pg)[1] == 0 && tu_words(lent)[1] == tu_word(8));
	uvm_unloan(&lent, 1, UVM_LOAN_TOPAGE);
	end();
}

KTEST(truncation_that_the_host_refuses, "is an error, and the size is what it was")
{
	int good;

	begin(1, 3 * PAGE_SIZE);
	good = vp->v_fd;
	vp->v_fd = open("/dev/null", O_RDONLY);
	CHECK(vnode_truncate(vp, 5 * (voff_t)PAGE_SIZE) != 0);
	CHECK(vp->v_size == 3 * (voff_t)PAGE_SIZE && vp->v_writesize == vp->v_size);
	CHECK(vnode_truncate(vp, (voff_t)PAGE_SIZE) != 0);
	CHECK(vp->v_size == 3 * (voff_t)PAGE_SIZE && vp->v_writesize == vp->v_size);
	close(vp->v_fd);
	vp->v_fd = good;
	end();
}

static void
let_go(void *arg)
{
	struct vm_page *pg = arg;

	kpause("letgo", 20000000);
	tu_unbusy(pg);
}

KTEST(T65_truncation_waits_for_a_busy_page, "what lies behind the end of the last page is zeroed when nobody works on it any more")
{
	struct vm_page *pg;
	struct lwp *l;

	begin(2, PAGE_SIZE);
	pg = tu_get(obj, 0);
	uvm_page_pass(&pg, 1);				/* let_go() does it */
	CHECK_EQ(lwp_create(&l, NULL, "letgo", let_go, pg), 0);
	lwp_start(l);
	CHECK_EQ(vnode_truncate(vp, 8), 0);
	CHECK((pg->flags & PG_BUSY) == 0 && tu_words(pg)[0] == tu_word(0) && tu_words(pg)[1] == 0);
	lwp_wait(l);
	end();
}

/* What was stored behind the end does not become content when the file grows. */
KTEST(T65_growing_does_not_publish_stores_behind_the_end, "T65 growing does not publish stores behind the end")
{
	struct vm_page *pg;

	begin(1, 8);
	pg = tu_resident(obj, 0);
	tu_map(pg, 0, RW, VM_PROT_WRITE);
	CHECK_EQ(user_store(TU_VA + 64, 0xbad), 0);
	CHECK_EQ(vnode_truncate(vp, (voff_t)PAGE_SIZE), 0);
	CHECK(tu_words(pg)[8] == 0 && tu_words(pg)[0] == tu_word(0));
	end();
}

static struct {
	bool	stop;		/* atomic */
	int	npages;
} rd;

/* Gets pages of the file while its size changes; each is complete or beyond the end. */
static void
reader(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	while (!__atomic_load_n(&rd.stop, __ATOMIC_RELAXED)) {
		voff_t off = (voff_t)ptoa(i++ * 7 % 16);
		struct vm_page *pg = NULL;
		int n = 1, error;

		mutex_enter(&obj->vmobjlock);
		error = obj->pgops->pgo_get(obj, off, &pg, &n, 0, VM_PROT_READ, UVM_ADV_NORMAL, 0);
		CHECK(error == 0 || error == EINVAL);
		if (error == 0) {
			/* BUSY: no truncation can finish under us */
			CHECK(tu_words(pg)[3] == tu_word(off + 24) || tu_words(pg)[3] == 0);
			tu_unbusy(pg);
		}
		lwp_userret(1);
		yield();
	}
}

KTEST(T65_truncation_against_gets, "T65 truncation against gets")
{
	struct lwp *l[3];

	begin(4, 16 * PAGE_SIZE);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "reader", reader, (void *)(uintptr_t)i), 0);
		lwp_start(l[i]);
	}
	for (int i = 0; i < 200; i++) {
		CHECK_EQ(vnode_truncate(vp, (voff_t)(PAGE_SIZE / 2 * (uint64_t)(i * 13 % 33))), 0);
		lwp_userret(1);
	}
	__atomic_store_n(&rd.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 3; i++)
		lwp_wait(l[i]);
	end();
}

static void
range_getter(void *arg)
{
	voff_t base = (voff_t)(uintptr_t)arg;
	struct vm_page *pps[8];

	for (int i = 0; i < 200; i++) {
		int n = 8;

		for (int k = 0; k < 8; k++)
			pps[k] = NULL;
		mutex_enter(&obj->vmobjlock);
		CHECK_EQ(obj->pgops->pgo_get(obj, base, pps, &n, 0, VM_PROT_READ, UVM_ADV_NORMAL, 0), 0);
		yield();
		for (int k = 0; k < 8; k++)
			tu_unbusy(pps[k]);
		(void)tu_put(obj, base, base + 8 * (voff_t)PAGE_SIZE, PGO_FREE | PGO_CLEANIT);
		lwp_userret(1);
	}
}

KTEST(T70_overlapping_gets_do_not_deadlock, "T70 overlapping gets do not deadlock")
{
	struct lwp *l[4];

	begin(4, 32 * PAGE_SIZE);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "getter", range_getter,
		    (void *)(uintptr_t)ptoa(i % 2 * 4)), 0);
		lwp_start(l[i]);
	}
	for (int i = 0; i < 4; i++)
		lwp_wait(l[i]);
	end();
}

/* --- life --- */

static void
finder(void *arg)
{
	uint32_t id = (uint32_t)(uintptr_t)arg;
	struct vnode *v;

	while ((v = vnode_find(id)) != NULL) {
		CHECK_EQ(v->v_id, id);
		vrele(v);
		lwp_userret(1);
		yield();
	}
}

KTEST(find_never_revives_a_vnode, "find never revives a vnode")
{
	struct lwp *l[3];

	begin(4, PAGE_SIZE);
	for (int round = 0; round < 30; round++) {
		struct vnode *v = tu_file(64);

		for (int i = 0; i < 3; i++) {
			CHECK_EQ(lwp_create(&l[i], NULL, "finder", finder, (void *)(uintptr_t)v->v_id), 0);
			lwp_start(l[i]);
		}
		tu_resident(&v->v_uobj, 0);
		yield();
		vrele(v);
		for (int i = 0; i < 3; i++)
			lwp_wait(l[i]);
	}
	CHECK_EQ(vnode_count(), 1);
	CHECK(vnode_find(vp->v_id) == vp);
	vrele(vp);
	vp->v_uobj.uo_refs = 0;			/* as between the last vrele() and its tear-down */
	CHECK(vnode_find(vp->v_id) == NULL);
	vp->v_uobj.uo_refs = 1;
	CHECK(vnode_find(999) == NULL);
	end();
}

KTEST_MAIN()
