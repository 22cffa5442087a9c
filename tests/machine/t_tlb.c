/*
 * TLB coherence on several CPUs: each case has one CPU change mappings while
 * others use them, and a way to see a translation that outlived its time.
 *
 * The means is mostly a number that may only grow: the writer puts n into a
 * frame before it maps that frame, so a reader that sees a smaller n than it
 * saw before used an old translation after the new one was announced.
 */
#include "fakevm.h"

#include <errno.h>
#include <host/host.h>
#include <ktest_kern.h>

#include "../../src/machine/pmap_private.h"

#define	VA		0x10000000UL
#define	RO		VM_PROT_READ
#define	RW		(VM_PROT_READ | VM_PROT_WRITE)

static struct pmap *pm;
static bool stop;		/* atomic: workers end */
static unsigned running;	/* atomic: workers that have begun */
static uint64_t announced;	/* atomic: release: mapping of this number is complete everywhere */

static void
begin(int n, bool software_rm)
{
	fv_boot(n, software_rm);
	pm = pmap_create();
	fv_expect_violations();
}

/* => shootdowns that had somebody to ask. */
static uint64_t
shootdowns(void)
{
	struct pmap_stat st;

	pmap_getstat(&st);
	return st.shootdowns;
}

/*
 * => another round?  Time is what a busy host has least of: one second must do, but
 *    in it, or some more, enough shootdowns must have met somebody.  What a case must have
 *    seen besides it waits for itself.
 */
static bool
again(unsigned i, unsigned rounds)
{
	static uint64_t begun_ns;
	unsigned spins = 0;
	uint64_t ns;

	if (i <= 1)
		begun_ns = host_now_ns();
	ns = host_now_ns() - begun_ns;
	if (i < fv_rounds(rounds) && ns < 1000000000UL)
		return true;
	fv_pause(&spins);
	return shootdowns() < 20 && ns < 10000000000UL;
}

static void
end(void)
{
	CHECK(fv_violations_any() == 0);
	pmap_remove(pm, 0, VM_MAXUSER_ADDRESS);
	pmap_update(pm);
	CHECK(pmap_check(pm) == 0);
	CHECK(pmap_ptp_count(pm) == 0);
	fv_destroy(pm);
	fv_shutdown();
}

static bool
stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void
started(void)
{
	__atomic_fetch_add(&running, 1, __ATOMIC_RELEASE);
}

static void
await_running(unsigned n)
{
	unsigned spins = 0;

	while (__atomic_load_n(&running, __ATOMIC_ACQUIRE) < n)
		fv_pause(&spins);
}

static void
stop_and_join(struct lwp **l, int n)
{
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < n; i++)
		fv_join(l[i]);
}

/*
 * A wired mapping is replaced without pause; readers never trap, never go back
 * in time, and never see less than what was announced before they looked.
 */
static void
wired_reader(void *arg)
{
	uint64_t seen = 0, val, floor;
	unsigned loads = 0;

	started();
	while (!stopped()) {
		floor = __atomic_load_n(&announced, __ATOMIC_ACQUIRE);
		CHECK(user_load(VA, &val) == 0);
		CHECK(val >= seen);
		CHECK(val >= floor);
		seen = val;
		if (arg != NULL && ++loads % 4 == 0)
			yield();
		lwp_userret(1);
	}
}

static void
replace_wired(struct lwp **readers, int nreaders, unsigned rounds)
{
	struct vm_page *pg[4];
	unsigned spins = 0;

	for (int i = 0; i < 4; i++)
		pg[i] = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg[0]), RO, RO | PMAP_WIRED) == 0);
	await_running((unsigned)nreaders);
	for (unsigned n = 1; again(n, rounds); n++) {
		struct vm_page *new = pg[n % 4];

		/* Out of use since the update three rounds ago. */
		__atomic_store_n(fv_words(new), n, __ATOMIC_RELAXED);
		CHECK(pmap_enter(pm, VA, fv_pa(new), RO, RO | PMAP_WIRED) == 0);
		pmap_update(pm);
		__atomic_store_n(&announced, n, __ATOMIC_RELEASE);
		if (n % 16 == 0)
			fv_pause(&spins);
	}
	CHECK(shootdowns() > 0);
	stop_and_join(readers, nreaders);
	CHECK(fv_faults == 0);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	for (int i = 0; i < 4; i++)
		fv_free(pg[i]);
}

KTEST(R3_T21_wired_replacement_never_shows_nothing,
    "wired replacement never shows nothing")
{
	struct vm_page *first;
	struct lwp *l;

	begin(2, false);
	first = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(first), RO, RO | PMAP_WIRED) == 0);
	l = fv_spawn(pm, "reader", wired_reader, NULL);
	replace_wired(&l, 1, 100000);
	fv_free(first);
	end();
}

/* More readers than CPUs, of two pmaps: CPUs join and leave the set all the time. */
static void
other_pmap(void *arg)
{
	uint64_t val;

	started();
	while (!stopped()) {
		CHECK(user_load(VA, &val) == 0);
		CHECK(val == 77);
		yield();
	}
}

KTEST(T24_cpu_that_joins_late_sees_the_new_mapping,
    "cpu that joins late sees the new mapping")
{
	struct vm_page *first, *theirs;
	struct pmap *other;
	struct lwp *l[5];

	begin(3, false);
	other = pmap_create();
	first = fv_alloc();
	theirs = fv_alloc();
	fv_fill(theirs, 77);
	CHECK(pmap_enter(pm, VA, fv_pa(first), RO, RO | PMAP_WIRED) == 0);
	CHECK(pmap_enter(other, VA, fv_pa(theirs), RO, RO | PMAP_WIRED) == 0);
	for (int i = 0; i < 3; i++)
		l[i] = fv_spawn(pm, "reader", wired_reader, &l);
	for (int i = 3; i < 5; i++)
		l[i] = fv_spawn(other, "other", other_pmap, NULL);
	replace_wired(l, 5, 10000);
	pmap_remove(other, VA, VA + PAGE_SIZE);
	pmap_update(other);
	fv_destroy(other);
	fv_free(first);
	fv_free(theirs);
	end();
}

static uint64_t
first_word(struct vm_page *pg)
{
	return __atomic_load_n(fv_words(pg), __ATOMIC_RELAXED);
}

/*
 * The page is taken from a CPU that stores through a dirty TLB entry: after
 * the call nothing moves in the frame any more, and M tells of what did.
 */
static void
storer(void *arg)
{
	uint64_t n = 1;

	started();
	while (!stopped()) {
		if (user_store(VA, n) == 0)
			n++;
		lwp_userret(1);
	}
}

/* Its first store through a new mapping comes at any time, not as soon as it can. */
static void
lazy_storer(void *arg)
{
	struct host_rng rng;
	uint64_t n = 1;

	host_rng_init(&rng, 29, 0);
	started();
	while (!stopped()) {
		if (user_store(VA, n) == 0)
			n++;
		else
			for (uint64_t k = host_rng_below(&rng, 512); k > 0; k--)
				intr_poll();
		lwp_userret(1);
	}
}

/* => a TLB lets its CPU store to the page.  Nothing maps it writable any more, so none comes to do so. */
static bool
storable(const struct vm_page *pg)
{
	for (int cpu = 0; cpu < ncpu; cpu++) {
		const struct tlb *t = &tlbs[cpu];
		const struct tlb_entry *te = tlb_slot(&tlbs[cpu], VA);

		if (te->te_tag == TLB_TAG(VA, RELAXED_GET(t->t_epoch)) && te->te_host == ram_host(fv_pa(pg)) &&
		    (te->te_rights & PTE_W) != 0)
			return true;
	}
	return false;
}

static void
dirty_tlb(bool software_rm, void (*take)(struct vm_page *))
{
	struct vm_page *pg;
	struct lwp *l;
	uint64_t now, before = 0;
	unsigned spins = 0;

	begin(2, software_rm);
	pg = fv_alloc();
	l = fv_spawn(pm, "storer", storer, NULL);
	await_running(1);
	for (unsigned i = 0; again(i, 3000) || before == 0; i++) {
		CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, 0) == 0);
		for (unsigned k = 0; k < 50 && first_word(pg) == before; k++)
			fv_pause(&spins);
		take(pg);
		CHECK(!storable(pg));		/* the storer may not come to show it, on a busy host */
		now = first_word(pg);
		CHECK(pmap_is_modified(pg) || now == before);
		pmap_clear_modify(pg);
		for (unsigned k = 0; k < 10; k++)
			fv_pause(&spins);
		CHECK(first_word(pg) == now);
		CHECK(!pmap_is_modified(pg));
		before = now;
	}
	stop_and_join(&l, 1);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(pg);
	end();
}

KTEST(T22_no_store_after_revoke_and_none_before_is_lost,
    "no store after revoke and none before is lost")
{
	dirty_tlb(false, pmap_revoke);
}

KTEST(T22_no_store_after_revoke_software_rm,
    "no store after revoke software rm")
{
	dirty_tlb(true, pmap_revoke);
}

KTEST(T27_no_store_after_copy_on_write,
    "no store after copy on write")
{
	dirty_tlb(false, pmap_copy_on_write);
}

static void
protect_and_update(struct vm_page *pg)
{
	pmap_protect(pm, VA, VA + PAGE_SIZE, RO);
	pmap_update(pm);
}

KTEST(T27_no_store_after_protect,
    "no store after protect")
{
	dirty_tlb(false, protect_and_update);
}

static void
remove_and_update(struct vm_page *pg)
{
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
}

KTEST(T27_no_store_after_remove,
    "no store after remove")
{
	dirty_tlb(false, remove_and_update);
}

/*
 * What one operation on the pmap has not completed yet, one on the page completes: its
 * caller cannot know about the other's packet.
 */
static void
revoke_before_update(struct vm_page *pg)
{
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_revoke(pg);
}

KTEST(I_PMAP_6_revoke_completes_removals_under_way,
    "no store after revoke though the mapping was removed by somebody who has not updated")
{
	dirty_tlb(false, revoke_before_update);
}

static void
remove_before_copy_on_write(struct vm_page *pg)
{
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_copy_on_write(pg);
}

KTEST(T53_copy_on_write_completes_removals_under_way,
    "no store after copy on write though the mapping was removed by somebody who has not updated")
{
	dirty_tlb(false, remove_before_copy_on_write);
}

static void
protect_before_update(struct vm_page *pg)
{
	unsigned spins = 0;
	uint64_t now;

	pmap_protect(pm, VA, VA + PAGE_SIZE, RO);
	pmap_copy_on_write(pg);
	now = first_word(pg);
	/* So long that the storer runs, even on a busy host; it tries all the time. */
	for (unsigned k = 0; k < 220; k++)
		fv_pause(&spins);
	CHECK(first_word(pg) == now);
}

KTEST(T53_copy_on_write_completes_reductions_under_way,
    "no store after copy on write though W was taken by somebody who has not updated")
{
	dirty_tlb(false, protect_before_update);
}

static void
clear_before_update(struct vm_page *pg)
{
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	(void)pmap_clear_modify(pg);
	__atomic_fetch_or(&pg->md.md_attrs, PTE_MOD, __ATOMIC_RELAXED);	/* for the caller's check */
}

KTEST(S6_clear_modify_completes_removals_under_way,
    "no store after clear modify though the mapping was removed by somebody who has not updated")
{
	dirty_tlb(false, clear_before_update);
}

/*
 * What a handler sees of the page that the LWP which it interrupts is copying to.
 */
static struct vm_page *copied;
static unsigned looked;			/* atomic: interrupts */
static unsigned halves;			/* IPL_VM: which of them found half a copy */

static void
look_at_copy(void *arg)
{
	__atomic_fetch_add(&looked, 1, __ATOMIC_RELAXED);
	if (fv_words(copied)[0] != fv_words(copied)[PAGE_SIZE / sizeof(uint64_t) - 1])
		halves++;
}

/* No LWP: a device that wants attention all the time. */
static void
pester(void *arg)
{
	while (!stopped()) {
		intr_post(&cpus[0], IRQ_DISK);
		host_park_until(host_now_ns() + 10000);
	}
}

KTEST(S1_an_access_is_one_instruction,
    "no interrupt comes between a translation and the end of the access that uses it")
{
	static uint64_t page[PAGE_SIZE / sizeof(uint64_t)];
	struct host_thread *device;
	uint64_t until;
	int ipl;

	begin(1, false);
	copied = fv_alloc();
	intr_establish(IRQ_DISK, IPL_VM, look_at_copy, NULL);
	fv_use(pm);
	CHECK(pmap_enter(pm, VA, fv_pa(copied), RW, 0) == 0);
	CHECK_EQ(host_thread_create(&device, "device", pester, NULL), 0);
	until = host_now_ns() + 300000000UL;
	for (uint64_t n = 1; host_now_ns() < until || __atomic_load_n(&looked, __ATOMIC_RELAXED) == 0; n++) {
		for (size_t i = 0; i < PAGE_SIZE / sizeof(page[0]); i++)
			page[i] = n;
		for (int i = 0; i < 16; i++) {
			page[0] = page[PAGE_SIZE / sizeof(page[0]) - 1] = n * 16 + i;
			CHECK_EQ(copyout(page, VA, PAGE_SIZE), 0);
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	host_thread_join(device);
	ktest_settle();
	ipl = splvm();
	CHECK_EQ(halves, 0);
	splx(ipl);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_use(NULL);
	fv_free(copied);
	end();
}

/*
 * M is set by the walker at any moment of the removal, and never lost: the
 * mapping lives for so short that the first store often meets its end.
 */
static void
short_lived(bool software_rm)
{
	struct vm_page *pg;
	struct lwp *l;
	uint64_t before, now, stores = 0;
	unsigned spins = 0;

	begin(2, software_rm);
	pg = fv_alloc();
	l = fv_spawn(pm, "storer", lazy_storer, NULL);
	await_running(1);
	for (unsigned i = 0; again(i, 50000) || stores == 0; i++) {
		before = first_word(pg);
		CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, 0) == 0);
		for (unsigned k = i % 512; k > 0; k--)
			intr_poll();
		/* Now and then long enough for a storer that the host let wait. */
		for (unsigned k = i % 64 == 63 ? 200 : 0; k > 0 && first_word(pg) == before; k--)
			fv_pause(&spins);
		pmap_remove(pm, VA, VA + PAGE_SIZE);
		pmap_update(pm);
		now = first_word(pg);
		/* M may be set for a store that the removal prevented, not the other way. */
		CHECK(pmap_clear_modify(pg) || now == before);
		stores += now != before;
	}
	stop_and_join(&l, 1);
	fv_free(pg);
	end();
}

KTEST(T29_modified_bit_is_not_lost_by_removal,
    "modified bit is not lost by removal")
{
	short_lived(false);
}

KTEST(T29_modified_bit_is_not_lost_by_removal_software_rm,
    "modified bit is not lost by removal software rm")
{
	short_lived(true);
}

/* Clearing M while a CPU stores: what is in the frame at the end has left M set. */
KTEST(I_PMAP_12_clear_modify_loses_no_store,
    "clear modify loses no store")
{
	struct vm_page *pg;
	struct lwp *l;
	uint64_t a, b;

	begin(2, false);
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, 0) == 0);
	l = fv_spawn(pm, "storer", storer, NULL);
	await_running(1);
	for (unsigned i = 0; again(i, 20000); i++) {
		pmap_clear_modify(pg);
		a = first_word(pg);
		pmap_clear_reference(pg);
		b = first_word(pg);
		if (a != b)
			CHECK(pmap_is_modified(pg));
	}
	stop_and_join(&l, 1);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(pg);
	end();
}

/*
 * CPUs that shoot at each other, one that holds the pmap lock for long.
 */
struct shooter {
	vaddr_t		 va;
	struct vm_page	*pg;
	int		 pages;
};

static void
shooter(void *arg)
{
	struct shooter *s = arg;

	for (unsigned i = 0; i < fv_rounds(1000); i++) {
		for (int p = 0; p < s->pages; p++)
			CHECK(pmap_enter(pm, s->va + p * PAGE_SIZE, fv_pa(s->pg), RW, RW) == 0);
		CHECK(user_store(s->va, i) == 0);
		pmap_remove(pm, s->va, s->va + s->pages * PAGE_SIZE);
		pmap_update(pm);
		lwp_userret(1);
	}
}

KTEST(T23_mutual_shootdowns_end,
    "mutual shootdowns end")
{
	struct shooter s[4];
	struct lwp *l[4];

	begin(4, false);
	for (int i = 0; i < 4; i++) {
		s[i].va = VA + i * (4UL << 20);
		s[i].pg = fv_alloc();
		s[i].pages = i == 3 ? 100 : 1;
		l[i] = fv_spawn(pm, "shooter", shooter, &s[i]);
	}
	for (int i = 0; i < 4; i++)
		fv_join(l[i]);
	for (int i = 0; i < 4; i++)
		fv_free(s[i].pg);
	end();
}

/*
 * Batches of every size, frames reused by another pmap at once.
 */
#define	BATCH_MAX	1000

static void
toucher(void *arg)
{
	uint64_t val;

	started();
	for (vaddr_t i = 0; !stopped(); i = (i + 1) % BATCH_MAX) {
		if (user_load(VA + i * PAGE_SIZE, &val) == 0)
			CHECK(val == 1);
		lwp_userret(1);
	}
}

KTEST(T26_frames_are_reused_only_after_every_tlb_forgot_them,
    "frames are reused only after every tlb forgot them")
{
	static const int batch[] = { 1, 6, 7, 16, 17, BATCH_MAX };
	static struct vm_page *pg[BATCH_MAX];
	struct pmap *other;
	struct lwp *l[2];

	begin(3, false);
	other = pmap_create();
	for (int i = 0; i < 2; i++)
		l[i] = fv_spawn(pm, "toucher", toucher, NULL);
	await_running(2);
	for (unsigned round = 0; again(round, 60); round++) {
		for (int b = 0; b < 6; b++) {
			int n = batch[b];

			for (int i = 0; i < n; i++) {
				pg[i] = fv_alloc();
				fv_fill(pg[i], 1);
				CHECK(pmap_enter(pm, VA + i * PAGE_SIZE, fv_pa(pg[i]), RW, 0) == 0);
			}
			fv_use(pm);
			for (int i = 0; i < n; i++) {
				uint64_t val;

				CHECK(user_load(VA + i * PAGE_SIZE, &val) == 0);
			}
			pmap_remove(pm, VA, VA + n * PAGE_SIZE);
			pmap_update(pm);
			for (int i = 0; i < n; i++)
				fv_free(pg[i]);
			for (int i = 0; i < n; i++) {
				uint64_t val;

				CHECK(user_load(VA + i * PAGE_SIZE, &val) == EFAULT);
			}
			fv_use(other);
			for (int i = 0; i < n; i++) {
				pg[i] = fv_alloc();
				fv_fill(pg[i], 2);
				CHECK(pmap_enter(other, VA + i * PAGE_SIZE, fv_pa(pg[i]), RW, RW) == 0);
			}
			pmap_remove(other, VA, VA + n * PAGE_SIZE);
			pmap_update(other);
			for (int i = 0; i < n; i++)
				fv_free(pg[i]);
		}
	}
	stop_and_join(l, 2);
	fv_destroy(other);
	end();
}

/*
 * A stale read-only entry on one CPU, while the PTE has become writable.
 */
static void
stale_ro(void *arg)
{
	uint64_t val;
	unsigned spins = 0;

	CHECK(user_load(VA, &val) == 0);	/* R/O in our TLB */
	started();
	while (!stopped()) {			/* no yield: the entry must stay */
		intr_poll();
		host_relax(&spins);
	}
	CHECK(user_store(VA, 2) == 0);
}

KTEST(T28_stale_readonly_entry_just_retries,
    "stale readonly entry just retries")
{
	struct vm_page *pg;
	struct lwp *l;

	begin(2, false);
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RO, RO) == 0);
	l = fv_spawn(pm, "stale", stale_ro, NULL);
	await_running(1);
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, RW) == 0);
	pmap_update(pm);
	stop_and_join(&l, 1);
	/* No second fault reached the VM floor, so no second promotion. */
	CHECK(fv_faults == 0);
	CHECK(fv_words(pg)[0] == 2);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(pg);
	end();
}

/*
 * Tables go away under a walker: freed ones lead to a trap page for a while.
 */
static void
walker(void *arg)
{
	uint64_t val;

	started();
	while (!stopped()) {
		if (user_load(VA, &val) == 0)
			CHECK(val == 1);
		tlb_flush_all();
		lwp_userret(1);
	}
}

KTEST(T30_table_is_freed_only_when_nobody_walks_it,
    "table is freed only when nobody walks it")
{
	struct vm_page *pg, *trap;
	struct lwp *l[2];

	begin(3, false);
	pg = fv_alloc();
	fv_fill(pg, 1);
	trap = fv_alloc();
	fv_fill(trap, 666);
	fv_trap_page = trap;
	for (int i = 0; i < 2; i++)
		l[i] = fv_spawn(pm, "walker", walker, NULL);
	await_running(2);
	for (unsigned i = 0; again(i, 5000); i++) {
		CHECK(pmap_enter(pm, VA, fv_pa(pg), RO, 0) == 0);
		if (i & 1) {
			pmap_remove(pm, VA, VA + PAGE_SIZE);
			pmap_update(pm);
		} else
			pmap_revoke(pg);
		CHECK(pmap_ptp_count(pm) == 0);
	}
	stop_and_join(l, 2);
	fv_trap_page = NULL;
	fv_free(pg);
	fv_free(trap);
	end();
}

/*
 * A pmap that ends while a CPU that ran it is idle, or still has its zombie.
 */
static void
one_access(void *arg)
{
	uint64_t val;

	CHECK(user_load(VA, &val) == 0);
}

KTEST(T25_idle_cpu_keeps_no_pmap,
    "idle cpu keeps no pmap")
{
	struct vm_page *pg;
	struct lwp *l;
	uint64_t before;

	begin(4, false);
	pg = fv_alloc();
	before = fv_nfree();
	for (unsigned i = 0; i < fv_rounds(500); i++) {
		struct pmap *mine = pmap_create();

		CHECK(pmap_enter(mine, VA, fv_pa(pg), RO, RO) == 0);
		l = fv_spawn(mine, "short", one_access, NULL);
		fv_join(l);
		pmap_remove(mine, VA, VA + PAGE_SIZE);
		pmap_update(mine);
		fv_destroy(mine);
	}
	CHECK(fv_nfree() + 32 >= before);	/* kmem keeps some for each CPU's cache */
	fv_free(pg);
	end();
}

/* Its CPU keeps the pmap: it is not switched from. */
static void
zombie(void *arg)
{
	unsigned spins = 0;
	uint64_t val;

	CHECK(user_load(VA, &val) == 0);
	started();
	while (!stopped()) {
		intr_poll();
		host_relax(&spins);
	}
	curlwp->l_pmap = NULL;
}

KTEST(S8_T25_pmap_goes_from_under_a_zombie,
    "a CPU whose LWP has not been switched from leaves a pmap that goes")
{
	struct pmap *mine;
	struct vm_page *pg;
	struct lwp *l;

	begin(2, false);
	mine = pmap_create();
	pg = fv_alloc();
	CHECK(pmap_enter(mine, VA, fv_pa(pg), RO, RO) == 0);
	l = fv_spawn(mine, "zombie", zombie, NULL);
	await_running(1);
	CHECK(RELAXED_GET(mine->pm_cpus[0]) != 0);
	pmap_remove(mine, VA, VA + PAGE_SIZE);
	pmap_update(mine);
	fv_destroy(mine);		/* asserts that nobody has it */
	for (int cpu = 0; cpu < ncpu; cpu++)
		CHECK(RELAXED_GET(tlbs[cpu].t_pmap) != mine);
	stop_and_join(&l, 1);
	fv_free(pg);
	end();
}

/*
 * pmaps that share a page, while it is revoked and write-protected from below.
 */
struct sharer {
	struct pmap	*pm;
	vaddr_t		 va;
	struct vm_page	*pg;
};

static void
sharer(void *arg)
{
	struct sharer *s = arg;

	started();
	while (!stopped()) {
		for (int i = 0; i < 3; i++)
			/* the revoker may have all tables in hand: no owner's lock keeps us from going on */
			(void)pmap_enter(s->pm, s->va + i * PAGE_SIZE, fv_pa(s->pg), RW, PMAP_CANFAIL);
		(void)user_store(s->va, 1);
		pmap_protect(s->pm, s->va, s->va + 3 * PAGE_SIZE, RO);
		pmap_remove(s->pm, s->va, s->va + 2 * PAGE_SIZE);
		pmap_update(s->pm);
		lwp_userret(1);
	}
	pmap_remove(s->pm, s->va, s->va + 3 * PAGE_SIZE);
	pmap_update(s->pm);
}

KTEST(reverse_operations_against_forward_ones,
    "reverse operations against forward ones")
{
	struct sharer s[3];
	struct lwp *l[3];
	struct vm_page *pg;

	begin(4, false);
	pg = fv_alloc();
	for (int i = 0; i < 3; i++) {
		s[i] = (struct sharer){ pmap_create(), VA + i * (8UL << 20), pg };
		l[i] = fv_spawn(s[i].pm, "sharer", sharer, &s[i]);
	}
	await_running(3);
	for (unsigned i = 0; again(i, 5000); i++) {
		switch (i % 4) {
		case 0:
			pmap_revoke(pg);
			break;
		case 1:
			pmap_copy_on_write(pg);
			break;
		case 2:
			(void)pmap_clear_modify(pg);
			break;
		case 3:
			(void)pmap_clear_reference(pg);
			break;
		}
		(void)pmap_is_modified(pg);
	}
	stop_and_join(l, 3);
	CHECK(!pmap_page_mapped(pg));
	for (int i = 0; i < 3; i++) {
		CHECK(pmap_check(s[i].pm) == 0);
		fv_destroy(s[i].pm);
	}
	fv_free(pg);
	end();
}

/* An LWP with a packet may go on elsewhere, and switch to another pmap's work. */
KTEST(packet_belongs_to_the_lwp,
    "packet belongs to the lwp")
{
	struct pmap *other;
	struct vm_page *pg;

	begin(2, false);
	other = pmap_create();
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, 0) == 0);
	CHECK(pmap_enter(other, VA, fv_pa(pg), RW, 0) == 0);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	CHECK(curlwp->l_tlb.lt_pmap == pm);
	yield();
	/* The other pmap's operation sends the first packet on its own. */
	pmap_remove(other, VA, VA + PAGE_SIZE);
	CHECK(curlwp->l_tlb.lt_pmap == other);
	CHECK(pm->pm_limbo == NULL);
	pmap_update(pm);
	CHECK(curlwp->l_tlb.lt_pmap == other);
	pmap_update(other);
	CHECK(curlwp->l_tlb.lt_pmap == NULL);
	fv_destroy(other);
	fv_free(pg);
	end();
}

/* An interrupt that comes just when somebody raises the level; one that finds it raised waits. */
static bool arrive;			/* !: curlwp */
int	__real_splraise(ipl_t);
int	__wrap_splraise(ipl_t);

int
__wrap_splraise(ipl_t ipl)
{
	if (arrive) {
		arrive = false;
		intr_post(curcpu(), IRQ_DISK);
		intr_poll();
	}
	return __real_splraise(ipl);
}

static void
send_packet(void *arg)
{
	pmap_update(pm);
}

KTEST(T53_packet_that_an_interrupt_has_sent,
    "an update whose packet an interrupt sends, between the first look and IPL_VM, leaves all as it is")
{
	struct pmap_stat before, after;
	struct vm_page *pg;

	begin(1, false);
	pg = fv_alloc();
	intr_establish(IRQ_DISK, IPL_VM, send_packet, NULL);
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, 0) == 0);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	CHECK(pm->pm_unsettled == 1);
	pmap_getstat(&before);
	arrive = true;
	pmap_update(pm);
	pmap_getstat(&after);
	CHECK(!arrive && curlwp->l_tlb.lt_pmap == NULL);
	CHECK_EQ(curcpu()->ci_ilevel, IPL_NONE);
	CHECK(pm->pm_unsettled == 0 && pg->md.md_leaving == 0);
	CHECK(after.local_flushes == before.local_flushes + 1);		/* one packet, and nobody else to ask */
	CHECK(after.shootdowns == before.shootdowns);
	fv_free(pg);
	end();
}

KTEST_DEATH(S4_shootdown_with_a_spin_lock_panics,
    "shootdown with a spin lock panics", "spin lock")
{
	struct vm_page *pg;
	kmutex_t m;

	begin(2, false);
	mutex_init(&m, MUTEX_DEFAULT, IPL_VM, LC_test);
	pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(pg), RW, 0) == 0);
	mutex_enter(&m);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
}

KTEST_MAIN()
