/*
 * Parcels: a part of the workload mlock-physio.
 *
 * Each thread has one, to which all threads of its process do I/O, wherever it is at that moment, while its
 * own moves it, wires it, lends it to the kernel and to other memory, shares it and looks at it through a
 * window.  Words of a page belong to its thread, blocks of every second page to those who land them there by
 * raw reads; none of either may be lost.  What is refused to wired memory is refused for certain only where
 * nobody else wires: a child tries that, on its copy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <machine/nic.h>
#include <sys/sleepq.h>

#include "engine_int.h"
#include "wl_mlock_physio.h"

#define	PARCEL_BASE	0x80000000UL
#define	PARCEL_PLACE	((PARCEL_PAGES + 1) * PAGE_SIZE)	/* with a hole behind */
#define	HOLD_NS		200000		/* who wants to move what is wired comes meanwhile */

/* Where a worker's parcel may be, what it lends to, and where it shares itself: see parcel_place(). */
enum { HERE, THERE, BORROWER, TWIN, NPLACES };

/* --- parcels: where they are --- */

/* What a raw write of a whole parcel needs is there: op_source's part of the device. */
_Static_assert(PARCEL_PAGES <= SRC_PAGES, "a parcel is larger than what its device has for it");

static vaddr_t
parcel_place(const struct job_worker *owner, int place)
{
	return PARCEL_BASE + (owner->jw_thread * NPLACES + (vaddr_t)place) * PARCEL_PLACE;
}

static struct parcel *
parcel_of(const struct job_worker *jw)
{
	struct raw_worker *rw = jw->jw_private;

	return &rw->rw_parcel;
}

int
raw_parcel_map(const struct job_worker *jw)
{
	struct parcel *pa = parcel_of(jw);
	int error;

	*pa = (struct parcel){ .pa_va = parcel_place(jw, HERE), .pa_npages = PARCEL_PAGES };
	error = map_private(jw->jw_proc->jp_proc, pa->pa_va, PARCEL_PAGES * PAGE_SIZE);
	return error != 0 ? error : map_private(jw->jw_proc->jp_proc, parcel_place(jw, BORROWER),
	    PARCEL_PAGES * PAGE_SIZE);
}

/* --- parcels: I/O to them, by anybody --- */

/* => one of the threads of our process, ourselves among them */
static struct job_worker *
any_thread(struct job_worker *jw)
{
	unsigned thread = (unsigned)host_rng_below(&jw->jw_rng, jw->jw_proc->jp_nthreads);

	for (struct job_worker *o = jw->jw_run->jr_workers;; o++)
		if (o->jw_proc == jw->jw_proc && o->jw_thread == thread)
			return o;
}

/* => what we have landed there is there, or the parcel has just gone elsewhere */
static int
check_landed(struct job_worker *jw, const struct parcel *pa, uint64_t page, unsigned thread)
{
	for (unsigned i = 0; i < 2; i++) {
		/* relaxed: who comes too late finds a hole */
		vaddr_t va = __atomic_load_n(&pa->pa_va, __ATOMIC_RELAXED) + page * PAGE_SIZE +
		    (thread + 1) * DEV_BSIZE + i * (DEV_BSIZE - 8);
		uint64_t value, want = pa->pa_landed[page][thread][i];
		int error = user_load(va, &value);

		if (error == EFAULT)
			return 0;
		if (error != 0)
			return call_failed(jw, "load", va, error);
		if (value != want)
			return content_bad(jw, "raw-content", va, "a parcel holds %#lx, %#lx was read into it",
			    (unsigned long)value, (unsigned long)want);
	}
	worker_verified(jw, 16);
	return 0;
}

/* A block of the device into one of an odd page, the last one excepted, which comes and goes. */
static int
land(struct job_worker *jw, struct parcel *pa)
{
	struct raw_run *rr = jw->jw_run->jr_private;
	const struct raw_worker *rw = jw->jw_private;
	uint64_t page = 1 + 2 * host_rng_below(&jw->jw_rng, PARCEL_PAGES / 2 - 1);
	uint64_t at = host_rng_below(&jw->jw_rng, rw->rw_ndev / BLOCK_WORDS) * BLOCK_WORDS;
	vaddr_t va = __atomic_load_n(&pa->pa_va, __ATOMIC_RELAXED) + page * PAGE_SIZE +
	    (jw->jw_thread + 1) * DEV_BSIZE;
	vsize_t len = DEV_BSIZE;
	int error;

	error = sys_physio(jw->jw_proc->jp_proc, rr->rr_dev, (voff_t)(rw->rw_dev + at) * 8, va, &len,
	    true);
	if (error != 0)
		return error == EFAULT ? 0 : call_failed(jw, "raw read into a parcel", va, error);
	pa->pa_landed[page][jw->jw_thread][0] = rw->rw_words[at];
	pa->pa_landed[page][jw->jw_thread][1] = rw->rw_words[at + BLOCK_WORDS - 1];
	return check_landed(jw, pa, page, jw->jw_thread);
}

/* Pages of it to the device, which has our blocks as we landed them. */
static int
take(struct job_worker *jw, const struct parcel *pa)
{
	struct raw_run *rr = jw->jw_run->jr_private;
	uint64_t first = host_rng_below(&jw->jw_rng, PARCEL_PAGES);
	uint64_t n = 1 + host_rng_below(&jw->jw_rng, PARCEL_PAGES - first);
	vaddr_t va = __atomic_load_n(&pa->pa_va, __ATOMIC_RELAXED) + first * PAGE_SIZE;
	voff_t off = raw_scrap(jw);
	uint64_t block[BLOCK_WORDS];
	vsize_t len = n * PAGE_SIZE;
	int error;

	error = sys_physio(jw->jw_proc->jp_proc, rr->rr_dev, off, va, &len, false);
	if (error != 0)
		return error == EFAULT ? 0 : call_failed(jw, "raw write of a parcel", va, error);
	for (uint64_t page = first | 1; page < first + n && jw->jw_thread < LANDINGS; page += 2) {
		const uint64_t *want = pa->pa_landed[page][jw->jw_thread];
		uint64_t at = (page - first) * PAGE_SIZE + (jw->jw_thread + 1) * DEV_BSIZE;

		if (pread(rr->rr_dev->v_fd, block, DEV_BSIZE, (off_t)off + (off_t)at) != DEV_BSIZE)
			return call_failed(jw, "read of the host's file", va, errno);
		if (block[0] != want[0] || block[BLOCK_WORDS - 1] != want[1])
			return content_bad(jw, "raw-content", va + at, "the device got %#lx of a parcel, must be %#lx",
			    (unsigned long)block[0], (unsigned long)want[0]);
		worker_verified(jw, 16);
	}
	return 0;
}

/* As a system call wires what it copies to: others do it to the same page. */
static int
hold(struct job_worker *jw, const struct parcel *pa)
{
	struct vmspace *vm = jw->jw_proc->jp_proc->p_vmspace;
	vaddr_t va = __atomic_load_n(&pa->pa_va, __ATOMIC_RELAXED);
	uint64_t value;
	int error = uvm_vslock(vm, va, PAGE_SIZE, VM_PROT_WRITE);

	if (error != 0)
		return error == EFAULT ? 0 : call_failed(jw, "vslock", va, error);
	error = user_load(va, &value);
	uvm_vsunlock(vm, va, PAGE_SIZE);
	return error != 0 ? call_failed(jw, "load of what is wired for I/O", va, error) : 0;
}

int
raw_op_visit(struct job_worker *jw)
{
	struct parcel *pa = parcel_of(any_thread(jw));

	if (host_rng_below(&jw->jw_rng, 4) == 0)
		return hold(jw, pa);
	return jw->jw_thread < LANDINGS && host_rng_below(&jw->jw_rng, 2) != 0 ? land(jw, pa) :
	    take(jw, pa);
}

/* --- parcels: what their threads do with them --- */

static uint64_t
parcel_value(struct job_worker *jw, uint64_t page)
{
	return private_value(jw->jw_run->jr_seed + jw->jw_index, parcel_place(jw, HERE) +
	    page * PAGE_SIZE, ++jw->jw_seq);
}

static int
parcel_look(struct job_worker *jw, const struct parcel *pa, uint64_t page)
{
	return expect_word(jw, pa->pa_va + page * PAGE_SIZE, pa->pa_value[page], "raw-content");
}

static int
parcel_store(struct job_worker *jw, struct parcel *pa, uint64_t page)
{
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;
	uint64_t value = parcel_value(jw, page);
	int error = user_store(va, value);

	if (error != 0)
		return call_failed(jw, "store", va, error);
	pa->pa_value[page] = value;
	return 0;
}

/* Waits for whatever I/O is under way to it. */
static int
parcel_move(struct job_worker *jw, struct parcel *pa)
{
	vaddr_t old = pa->pa_va, va = parcel_place(jw, HERE);
	int error;

	if (old == va)
		va = parcel_place(jw, THERE);
	error = sys_mremap(curlwp->l_proc, old, pa->pa_npages * PAGE_SIZE, &va,
	    pa->pa_npages * PAGE_SIZE, true);
	if (error != 0)
		return call_failed(jw, "mremap", old, error);
	__atomic_store_n(&pa->pa_va, va, __ATOMIC_RELAXED);
	error = expect_refusal(jw, old + host_rng_below(&jw->jw_rng, pa->pa_npages) * PAGE_SIZE, false,
	    EFAULT);
	for (uint64_t page = 0; page < pa->pa_npages && error == 0; page++)
		error = parcel_look(jw, pa, page);
	return error;
}

/* The last page comes, with nothing in it, or goes. */
static int
parcel_resize(struct job_worker *jw, struct parcel *pa)
{
	uint64_t npages = pa->pa_npages == PARCEL_PAGES ? PARCEL_PAGES - 1 : PARCEL_PAGES;
	vaddr_t va = pa->pa_va;
	int error = sys_mremap(jw->jw_proc->jp_proc, va, pa->pa_npages * PAGE_SIZE, &va,
	    npages * PAGE_SIZE, true);

	if (error != 0)
		return call_failed(jw, "mremap", pa->pa_va, error);
	pa->pa_npages = npages;
	pa->pa_value[PARCEL_PAGES - 1] = 0;
	if (npages < PARCEL_PAGES)
		return expect_refusal(jw, va + npages * PAGE_SIZE, true, EFAULT);
	error = parcel_look(jw, pa, npages - 1);
	return error != 0 ? error : parcel_store(jw, pa, npages - 1);
}

static int
parcel_wire(struct job_worker *jw, struct parcel *pa)
{
	struct proc *p = jw->jw_proc->jp_proc;
	vaddr_t va = pa->pa_va;

	if (host_rng_below(&jw->jw_rng, 2) != 0)
		return raw_allow(jw, "mlock", va, sys_mlock(p, va, pa->pa_npages * PAGE_SIZE), 0);
	return raw_allow(jw, "munlock", va, sys_munlock(p, va, pa->pa_npages * PAGE_SIZE), EINVAL);
}

static int
parcel_advise(struct job_worker *jw, struct parcel *pa)
{
	int error = sys_madvise(jw->jw_proc->jp_proc, pa->pa_va, pa->pa_npages * PAGE_SIZE,
	    UMADV_DONTNEED);

	return error != 0 ? call_failed(jw, "madvise", pa->pa_va, error) :
	    parcel_look(jw, pa, host_rng_below(&jw->jw_rng, pa->pa_npages));
}

/* => a page was lent to va: it is what the parcel has, until one of the two is stored to */
static int
check_lent(struct job_worker *jw, struct parcel *pa, uint64_t page, vaddr_t va)
{
	const uint64_t was = pa->pa_value[page];
	int error = expect_word(jw, va, was, "raw-content");

	if (error == 0)
		error = parcel_store(jw, pa, page);
	if (error == 0)
		error = expect_word(jw, va, was, "raw-content");
	if (error == 0 && user_store(va, 0) == 0)
		error = parcel_look(jw, pa, page);
	return error;
}

/* EBUSY: I/O, or an mlockall of somebody's. */
static int
parcel_lend(struct job_worker *jw, struct parcel *pa)
{
	struct proc *p = jw->jw_proc->jp_proc;
	uint64_t first = host_rng_below(&jw->jw_rng, PARCEL_PAGES - 1);
	uint64_t n = 1 + host_rng_below(&jw->jw_rng, PARCEL_PAGES - 1 - first);
	vaddr_t to = parcel_place(jw, BORROWER) + first * PAGE_SIZE;
	int error = sys_loan(p, pa->pa_va + first * PAGE_SIZE, n * PAGE_SIZE, p, to);

	if (error != 0)
		return raw_allow(jw, "loan", to, error, EBUSY);
	for (uint64_t i = 0; i < n && error == 0; i++)
		error = check_lent(jw, pa, first + i, to + i * PAGE_SIZE);
	return error;
}

/* => it has left: what was sent, and as copies if a page of it is wired */
static int
check_sent(struct job_worker *jw, vaddr_t va, vsize_t len, const struct so_send *ss, const struct nic_sum *ns,
    bool wired)
{
	if (ss->ss_sum != nic_sum_value(ns))
		return content_bad(jw, "raw-content", va, "the wire had memory of sum %#lx, %#lx was sent",
		    (unsigned long)ss->ss_sum, (unsigned long)nic_sum_value(ns));
	if (wired && ss->ss_loaned != 0)
		return content_bad(jw, "raw-content", va, "%lu bytes were lent, and a page of them is wired",
		    (unsigned long)ss->ss_loaned);
	worker_verified(jw, len);
	return 0;
}

/* An even page, all of which we know: as it was, though it is stored to before it has left. */
static int
send_page(struct job_worker *jw, struct parcel *pa, uint64_t page, bool wired)
{
	const uint64_t words[PAGE_SIZE / 8] = { pa->pa_value[page] };
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;
	struct so_send ss;
	struct nic_sum ns;
	int error, stored;

	nic_sum_init(&ns);
	nic_sum_add(&ns, words, sizeof(words));
	error = sys_send(curlwp->l_proc, va, PAGE_SIZE, 0, &ss);
	if (error != 0)
		return call_failed(jw, "send", va, error);
	stored = parcel_store(jw, pa, page);
	so_send_wait(&ss);
	error = check_sent(jw, va, PAGE_SIZE, &ss, &ns, wired);
	return error != 0 ? error : stored;
}

/* In the child, where nobody else stores: all pages, of which one is wired, so all are copied. */
static int
send_wired(struct job_worker *jw, const struct parcel *pa)
{
	vsize_t len = pa->pa_npages * PAGE_SIZE;
	struct proc *p = curlwp->l_proc;
	struct so_send ss;
	struct nic_sum ns;
	int error = 0;

	nic_sum_init(&ns);
	for (vaddr_t va = pa->pa_va; va < pa->pa_va + len; va += 8) {
		uint64_t word;

		error = user_load(va, &word);
		if (error != 0)
			return call_failed(jw, "load", va, error);
		nic_sum_add(&ns, &word, sizeof(word));
	}
	/* what nobody has mapped is lent without asking any TLB, and no mapping says that it is wired */
	error = sys_mprotect(p, pa->pa_va, len, VM_PROT_NONE);
	if (error == 0)
		error = sys_mprotect(p, pa->pa_va, len, VM_PROT_READ);
	if (error == 0)
		error = sys_send(p, pa->pa_va, len, 0, &ss);
	if (error != 0)
		return call_failed(jw, "send", pa->pa_va, error);
	so_send_wait(&ss);
	error = sys_mprotect(p, pa->pa_va, len, VM_PROT_READ | VM_PROT_WRITE);
	if (error != 0)
		return call_failed(jw, "mprotect", pa->pa_va, error);
	return check_sent(jw, pa->pa_va, len, &ss, &ns, true);
}

static uint64_t
even_page(struct job_worker *jw)
{
	return 2 * host_rng_below(&jw->jw_rng, PARCEL_PAGES / 2);
}

static int
parcel_send(struct job_worker *jw, struct parcel *pa)
{
	return send_page(jw, pa, even_page(jw), false);
}

/* As a debugger sees it: a window of the kernel's is one more mapping of what is under I/O. */
static int
parcel_peek(struct job_worker *jw, struct parcel *pa)
{
	uint64_t page = host_rng_below(&jw->jw_rng, pa->pa_npages);
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;
	bool write = host_rng_below(&jw->jw_rng, 2) != 0;
	uint64_t value = write ? parcel_value(jw, page) : 0;
	size_t len = sizeof(value);
	int error = sys_ptrace_io(curlwp->l_proc, va, &value, &len, write);

	if (error != 0)
		return call_failed(jw, "debugger's access", va, error);
	if (!write && value != pa->pa_value[page])
		return content_bad(jw, "raw-content", va, "a debugger reads %#lx, must be %#lx",
		    (unsigned long)value, (unsigned long)pa->pa_value[page]);
	pa->pa_value[page] = value;
	return parcel_look(jw, pa, page);
}

/* Two mappings of one memory: what is stored through one is seen through the other. */
static int
parcel_share(struct job_worker *jw, struct parcel *pa)
{
	struct proc *p = jw->jw_proc->jp_proc;
	vsize_t len = pa->pa_npages * PAGE_SIZE;
	vaddr_t twin = parcel_place(jw, TWIN);
	int error = sys_extract(p, pa->pa_va, len, p, &twin, false), unmapped;

	if (error != 0)
		return call_failed(jw, "extract", pa->pa_va, error);
	for (uint64_t page = 0; page < pa->pa_npages && error == 0; page += 2) {
		uint64_t value = parcel_value(jw, page);

		error = user_store(twin + page * PAGE_SIZE, value);
		if (error != 0)
			error = call_failed(jw, "store", twin, error);
		else
			pa->pa_value[page] = value;
		if (error == 0)
			error = parcel_look(jw, pa, page);
	}
	unmapped = sys_munmap(p, twin, len);
	return unmapped != 0 ? call_failed(jw, "munmap", twin, unmapped) : error;
}

int
raw_op_parcel(struct job_worker *jw)
{
	static int (*const what[])(struct job_worker *, struct parcel *) = {
		parcel_move, parcel_move, parcel_resize, parcel_wire, parcel_wire, parcel_advise, parcel_lend,
		parcel_lend, parcel_send, parcel_send, parcel_peek, parcel_share
	};
	struct parcel *pa = parcel_of(jw);
	int error = what[host_rng_below(&jw->jw_rng, sizeof(what) / sizeof(what[0]))](jw, pa);

	return error != 0 ? error : parcel_look(jw, pa, host_rng_below(&jw->jw_rng, pa->pa_npages));
}

/* --- parcels: what is wired, where nobody else wires --- */

/* => it was refused, and so */
static int
refused(struct job_worker *jw, const char *call, vaddr_t va, int error, int want)
{
	if (error == want)
		return 0;
	if (error != 0)
		return call_failed(jw, call, va, error);
	return content_bad(jw, "raw-content", va, "%s was allowed, must be refused with '%s'", call,
	    strerror(want));
}

/* => pages beside one that is wired come and go: I/O to that, which is our own, is not waited for */
static int
move_neighbours(struct job_worker *jw, struct parcel *pa, uint64_t page)
{
	struct proc *p = curlwp->l_proc;
	vaddr_t va = pa->pa_va + page * PAGE_SIZE, next = va + PAGE_SIZE, away = parcel_place(jw, TWIN);
	int error = sys_mremap(p, next, PAGE_SIZE, &away, PAGE_SIZE, true);

	if (error == 0)
		error = sys_mremap(p, away, PAGE_SIZE, &next, PAGE_SIZE, true);
	if (error == 0 && page > 0) {
		error = sys_munmap(p, va - PAGE_SIZE, PAGE_SIZE);
		if (error == 0)
			error = map_private(p, va - PAGE_SIZE, PAGE_SIZE);
		pa->pa_value[page - 1] = 0;
	}
	if (error != 0)
		return call_failed(jw, "mremap or munmap beside a wired page", va, error);
	for (uint64_t i = page > 0 ? page - 1 : page; i <= page + 1 && error == 0; i++)
		error = parcel_look(jw, pa, i);
	return error;
}

/*
 * The page is wired, by mlock or for I/O, and no other page of the parcel.
 * => it is not lent, nor replaced by what is lent
 */
static int
try_wired(struct job_worker *jw, struct parcel *pa, uint64_t page, bool mlocked)
{
	struct proc *p = curlwp->l_proc;
	vaddr_t va = pa->pa_va + page * PAGE_SIZE, other = parcel_place(jw, BORROWER);
	int error = refused(jw, "loan of a wired page", va, sys_loan(p, va, PAGE_SIZE, p, other), EBUSY);

	if (error == 0)
		error = refused(jw, "loan that replaces a wired page", va, sys_loan(p, va + PAGE_SIZE, PAGE_SIZE,
		    p, va), EBUSY);
	if (error == 0 && mlocked)
		error = refused(jw, "madvise(FREE) of a wired page", va, sys_madvise(p, va, PAGE_SIZE,
		    UMADV_FREE), EBUSY);
	if (error == 0)
		error = host_rng_below(&jw->jw_rng, 2) != 0 ? send_wired(jw, pa) : send_page(jw, pa, page, true);
	if (error == 0)
		error = parcel_peek(jw, pa);
	return error != 0 ? error : move_neighbours(jw, pa, page);
}

/* => a device may not store to what its process may not store to */
static int
try_read_only(struct job_worker *jw, struct parcel *pa, uint64_t page)
{
	struct raw_run *rr = jw->jw_run->jr_private;
	const struct raw_worker *rw = jw->jw_private;
	struct proc *p = curlwp->l_proc;
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;
	vsize_t len = DEV_BSIZE;
	int error = sys_mprotect(p, va, PAGE_SIZE, VM_PROT_READ);

	if (error != 0)
		return call_failed(jw, "mprotect", va, error);
	error = refused(jw, "raw read into read-only memory", va, sys_physio(p, rr->rr_dev,
	    (voff_t)rw->rw_dev * 8, va, &len, true), EFAULT);
	if (error != 0)
		return error;
	error = sys_mprotect(p, va, PAGE_SIZE, VM_PROT_READ | VM_PROT_WRITE);
	return error != 0 ? call_failed(jw, "mprotect", va, error) : parcel_look(jw, pa, page);
}

/* => it was moved while it was locked: it is there, and not locked any more */
static int
move_locked(struct job_worker *jw, struct parcel *pa, uint64_t page)
{
	int error = parcel_move(jw, pa);
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;

	return error != 0 ? error : refused(jw, "munlock of what was moved", va,
	    sys_munlock(curlwp->l_proc, va, PAGE_SIZE), EINVAL);
}

struct mover {
	struct job_worker *mv_worker;
	struct parcel	*mv_parcel;
	int		 mv_error;	/* @ -1: it has not come so far */
};

static void
mover_main(void *arg)
{
	struct mover *mv = arg;
	int error = parcel_move(mv->mv_worker, mv->mv_parcel);

	/* relaxed: who looks before this LWP has ended wants to find -1 */
	__atomic_store_n(&mv->mv_error, error, __ATOMIC_RELAXED);
}

/* => I/O to the page is over, and nobody has moved it before; then it was moved */
static int
move_below_io(struct job_worker *jw, struct parcel *pa, uint64_t page)
{
	struct mover mv = { jw, pa, -1 };
	struct proc *p = curlwp->l_proc;
	vaddr_t va = pa->pa_va + page * PAGE_SIZE;
	struct lwp *l;
	int error = proc_lwp_create(p, &l, "mover", mover_main, &mv), early;

	if (error == 0) {
		lwp_start(l);
		kpause("hold", HOLD_NS);
	}
	early = __atomic_load_n(&mv.mv_error, __ATOMIC_RELAXED);
	uvm_vsunlock(p->p_vmspace, va, PAGE_SIZE);
	if (error != 0)
		return call_failed(jw, "lwp_create", 0, error);
	lwp_wait(l);
	if (early == 0)
		return content_bad(jw, "raw-content", va, "a page was moved while I/O to it was under way");
	return mv.mv_error;
}

/* In the child, which is its only thread; the parcel is a copy. */
static int
wired_in_child(struct job_worker *jw, void *arg)
{
	const struct parcel *own = parcel_of(jw);
	struct parcel pa = { .pa_va = own->pa_va, .pa_npages = own->pa_npages };
	struct proc *p = curlwp->l_proc;
	uint64_t page = even_page(jw) % (PARCEL_PAGES - 2);
	vaddr_t va = pa.pa_va + page * PAGE_SIZE;
	bool mlocked = host_rng_below(&jw->jw_rng, 2) != 0;
	int error;

	memcpy(pa.pa_value, own->pa_value, sizeof(pa.pa_value));	/* what is landed others land meanwhile */
	error = try_read_only(jw, &pa, page);
	if (error != 0)
		return error;
	if (mlocked)
		error = sys_mlock(p, va, PAGE_SIZE);
	else
		error = uvm_vslock(p->p_vmspace, va, PAGE_SIZE, host_rng_below(&jw->jw_rng, 2) != 0 ?
		    VM_PROT_WRITE : VM_PROT_READ);
	if (error == EAGAIN)			/* over the limit: not our business */
		return 0;
	if (error != 0)
		return call_failed(jw, "wiring", va, error);
	error = try_wired(jw, &pa, page, mlocked);
	if (!mlocked && error == 0)
		error = move_below_io(jw, &pa, page);
	else if (!mlocked)
		uvm_vsunlock(p->p_vmspace, va, PAGE_SIZE);
	else if (error == 0)
		error = move_locked(jw, &pa, page);
	if (error != 0)
		return error;
	error = sys_loan(p, pa.pa_va + page * PAGE_SIZE, PAGE_SIZE, p, parcel_place(jw, BORROWER));
	return error != 0 ? call_failed(jw, "loan of what is not wired any more", va, error) :
	    check_lent(jw, &pa, page, parcel_place(jw, BORROWER));
}

int
raw_op_wired(struct job_worker *jw)
{
	return run_in_child(jw, wired_in_child, NULL);
}

/* --- at the end --- */

int
raw_parcel_verify(struct job_worker *jw, const struct parcel *pa)
{
	int error = 0;

	for (uint64_t page = 0; page < pa->pa_npages && error == 0; page++) {
		error = parcel_look(jw, pa, page);
		for (unsigned t = 0; t < LANDINGS && page < PARCEL_PAGES - 1 && error == 0; t++)
			error = check_landed(jw, pa, page, t);
	}
	return error;
}
