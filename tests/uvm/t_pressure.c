/*
 * The whole of UVM when memory is short, and files that are written back while
 * they are stored to: the scenarios of the page layer with real faults.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

#define	RW	(VM_PROT_READ | VM_PROT_WRITE)
#define	FVA	0x100000000UL		/* where the file is mapped */

static struct vnode *vp;

static void
map_file(struct proc *p, vsize_t len)
{
	vaddr_t va = FVA;

	CHECK_EQ(sys_mmap(p, &va, len, RW, UMAP_SHARED | UMAP_FIXED, vp, UF_READ | UF_WRITE, 0), 0);
}

static void
begin(int ncpus, uint64_t npages, vsize_t len)
{
	tm_boot(ncpus, npages);
	vp = tu_file((voff_t)len);
	map_file(tm_proc, len);
}

static void
end(void)
{
	vrele(vp);
	tm_shutdown();
}

/* --- write-back against stores --- */

static int counted;			/* atomic: rounds of all counters */

/* Counts up in a word of its own in each page; a value never goes back. */
static void
counter(struct tm_thread *tt)
{
	uint64_t last[8] = { 0 }, seen, n = 0;

	while (tm_go_on(tt)) {
		for (uint64_t pg = 0; pg < 8; pg++) {
			vaddr_t va = FVA + ptoa(pg) + 8 * (uint64_t)tt->tt_number;

			if (last[pg] != 0) {
				CHECK_EQ(user_load(va, &seen), 0);
				CHECK_EQ(seen, last[pg]);
			}
			last[pg] = ++n;
			CHECK_EQ(user_store(va, last[pg]), 0);
		}
		__atomic_fetch_add(&counted, 1, __ATOMIC_RELAXED);
	}
	memcpy(((uint64_t (*)[8])tt->tt_arg)[tt->tt_number], last, sizeof(last));
}

static void
check_counters(uint64_t (*last)[8], int n)
{
	CHECK_EQ(vnode_fsync(vp), 0);
	for (int i = 0; i < n; i++)
		for (uint64_t pg = 0; pg < 8 && last[i][pg] != 0; pg++)
			CHECK_EQ(tu_host_word(vp, (voff_t)ptoa(pg) + 8 * i), last[i][pg]);
}

KTEST(T64_no_store_is_lost_to_write_back,
    "a store goes out with the write-back that meets it, or the page is dirty again")
{
	static uint64_t last[3][8];
	struct tm_thread tt[3];

	begin(4, 8192, ptoa(8));
	tm_start(tm_proc, tt, 3, counter, last);
	for (int i = 0; i < 200 || __atomic_load_n(&counted, __ATOMIC_RELAXED) < 200; i++) {
		CHECK_EQ(vnode_fsync(vp), 0);
		lwp_userret(1);
		yield();
	}
	tm_stop();
	tm_wait(tt, 3);
	check_counters(last, 3);
	end();
}

KTEST(T22_I_PMAP_12_no_store_is_lost_to_reclaim,
    "a page that is stored to while it is written and freed keeps every store")
{
	static uint64_t last[3][8];
	struct tm_thread tt[3];

	begin(4, 8192, ptoa(8));
	tm_start(tm_proc, tt, 3, counter, last);
	for (int i = 0; i < 200 || __atomic_load_n(&counted, __ATOMIC_RELAXED) < 200; i++) {
		CHECK_EQ(tu_put(&vp->v_uobj, 0, 0, PGO_CLEANIT | PGO_FREE | (i & 1 ? PGO_SYNCIO : 0)), 0);
		lwp_userret(1);
		yield();
	}
	tm_stop();
	tm_wait(tt, 3);
	check_counters(last, 3);
	end();
}

/* --- more file than memory --- */

#define	NFILE	3000			/* pages of the file; memory has 2048 */

static void
toucher(struct tm_thread *tt)
{
	struct host_rng rng;

	host_rng_init(&rng, ktest_seed(), (uint64_t)tt->tt_number);
	while (tm_go_on(tt) && tt->tt_rounds < 3000) {
		uint64_t pg = host_rng_below(&rng, NFILE), w;

		CHECK_EQ(user_load(FVA + ptoa(pg), &w), 0);
		CHECK_EQ(w, tu_word((voff_t)ptoa(pg)));
		CHECK_EQ(user_store(FVA + ptoa(pg) + 64 + 8 * (uint64_t)tt->tt_number, ~pg), 0);
	}
}

KTEST(I_PD_6_file_larger_than_memory_is_read_and_written,
    "pages come and go by the page daemon, and no content is lost")
{
	struct tm_thread tt[4];

	begin(4, 2048, ptoa(NFILE));
	tm_start(tm_proc, tt, 4, toucher, NULL);
	tm_wait(tt, 4);
	CHECK(tu_count(UVMC_pdfreed) > 0 && tu_count(UVMC_pdpageouts) > 0);
	CHECK_EQ(vnode_fsync(vp), 0);
	for (uint64_t pg = 0; pg < NFILE; pg++)
		for (int k = 0; k < 4; k++) {
			uint64_t w = tu_host_word(vp, (voff_t)ptoa(pg) + 64 + 8 * k);

			CHECK(w == ~pg || w == tu_word((voff_t)ptoa(pg) + 64 + 8 * k));
		}
	end();
}

/* --- more anonymous memory than there is --- */

static void
glutton(struct tm_thread *tt)
{
	vaddr_t va = FVA + ptoa(NFILE) + ptoa(4096) * (uint64_t)(tt->tt_number + 1);

	CHECK_EQ(sys_mmap(tm_proc, &va, ptoa(2048), RW, UMAP_ANON | UMAP_PRIVATE | UMAP_FIXED, NULL,
	    0, 0), 0);
	for (uint64_t pg = 0; pg < 2048 && tm_go_on(tt); pg++) {
		int error = user_store(va + ptoa(pg), pg);

		CHECK(error == 0 || error == ENOMEM);
		if (error == ENOMEM) {
			((bool *)tt->tt_arg)[tt->tt_number] = true;
			break;
		}
	}
	CHECK_EQ(sys_munmap(tm_proc, va, ptoa(2048)), 0);
}

KTEST(T43_memory_full_of_anons_is_ENOMEM_and_not_a_hang,
    "without swap a fault answers ENOMEM in bounded time, and memory comes back after it")
{
	struct tm_thread tt[4];

	begin(4, 2048, ptoa(64));
	for (int round = 0; round < 3; round++) {
		bool failed[4] = { false };

		tm_start(tm_proc, tt, 4, glutton, failed);
		tm_wait(tt, 4);
		CHECK(failed[0] || failed[1] || failed[2] || failed[3]);
	}
	tm_put(tm_proc, "aaaaaaaa");
	for (int i = 0; i < 8; i++)
		tm_store(i, 1);
	end();
}

KTEST_MAIN()
