/*
 * UBC under load: windows, readers, writers, truncation, mappings (uvm-spec 11, 19).
 */
#include "tmap.h"

#include <string.h>
#include <unistd.h>
#include <uvm/uvm_bio_i.h>

#define	RW	(VM_PROT_READ | VM_PROT_WRITE)
#define	FILES	16
#define	NPAGES	16
#define	FILE_VA	0x60000000UL

static struct vnode *files[FILES];
static struct vnode *vp;

static vaddr_t
buffer(const struct tm_thread *tt)
{
	return TM_VA(4 * tt->tt_number);
}

static void
begin(int windows)
{
	tu_ubc_windows = windows;
	tm_boot(4, 2500);
	tm_put(tm_proc, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
}

static void
map_file(struct vnode *v, vsize_t len)
{
	vaddr_t va = FILE_VA;

	CHECK_EQ(sys_mmap(tm_proc, &va, len, RW, UMAP_SHARED | UMAP_FIXED, v, UF_READ | UF_WRITE, 0), 0);
}

/* Work is counted, not timed: a busy host makes it slow, not less. */
static unsigned rounds;

static bool
go_on(struct tm_thread *tt)
{
	return tm_go_on(tt) && tt->tt_rounds <= rounds;
}

static void
run(struct tm_thread *tt, int n, void (*fn)(struct tm_thread *), unsigned each)
{
	rounds = ktest_scale(each);
	tm_start(tm_proc, tt, n, fn, NULL);
	tm_wait(tt, n);
}

/* --- T-67: four windows, eight readers, sixteen files --- */

static void
reader(struct tm_thread *tt)
{
	uint64_t i = (uint64_t)tt->tt_number * 7919, w;

	while (go_on(tt)) {
		uint64_t f = ++i * 5 % FILES;
		voff_t off = (voff_t)(i * 1237 % (NPAGES * PAGE_SIZE - 64) & ~7UL);
		size_t len = 64;

		if (i % 16 == 0)
			CHECK_EQ(tu_put(&files[f]->v_uobj, 0, 0, PGO_FREE | PGO_CLEANIT | PGO_SYNCIO), 0);
		CHECK_EQ(sys_read(tm_proc, files[f], off, buffer(tt), &len, 0), 0);
		CHECK_EQ(len, 64);
		CHECK_EQ(user_load(buffer(tt), &w), 0);
		CHECK_EQ(w, tu_word(off) ^ f);
	}
}

KTEST(T67_I_UBC_3_no_window_is_stale, "with four windows, eight readers and sixteen files no window is stale")
{
	struct tm_thread tt[8];

	begin(4);
	for (int f = 0; f < FILES; f++) {
		files[f] = tu_file(NPAGES * PAGE_SIZE);
		for (voff_t o = 0; o < NPAGES * (voff_t)PAGE_SIZE; o += 8) {
			uint64_t w = tu_word(o) ^ (uint64_t)f;

			CHECK(pwrite(files[f]->v_fd, &w, 8, o) == 8);
		}
	}
	run(tt, 8, reader, 600);
	CHECK(tu_count(UVMC_ubc_recycled) > 100);
	for (int f = 0; f < FILES; f++)
		vrele(files[f]);
	tm_shutdown();
}

static void
one_read(struct tm_thread *tt)
{
	size_t len = 8;

	CHECK_EQ(sys_read(tm_proc, vp, 0, buffer(tt), &len, 0), 0);
	CHECK_EQ(len, 8);
}

KTEST(who_finds_no_window_waits_for_one, "who finds no window waits until one is released")
{
	struct vnode *other;
	struct tm_thread tt[2];
	vsize_t len = 8;
	vaddr_t va;

	begin(1);
	vp = tu_file(PAGE_SIZE);
	other = tu_file(PAGE_SIZE);
	rw_enter(&other->v_lock, RW_READER);
	CHECK_EQ(ubc_alloc(&other->v_uobj, 0, &len, UBC_READ, &va), 0);
	tm_start(tm_proc, tt, 2, one_read, NULL);
	for (int i = 0; i < 100000 && !sleepq_has_waiters(&ubc_object.inactive); i++)
		uvmfault_pause("tuwait", 1000000);
	CHECK(sleepq_has_waiters(&ubc_object.inactive));
	ubc_release(va, 0, UBC_READ);
	rw_exit(&other->v_lock);
	tm_wait(tt, 2);
	vrele(vp);
	vrele(other);
	tm_shutdown();
}

/* --- I-UBC-6: a read sees writes as wholes --- */

#define	BLOCK	(2 * PAGE_SIZE + 1000)

static void
write_block(struct tm_thread *tt)
{
	uint64_t words[BLOCK / 8];
	size_t len = BLOCK;

	for (uint64_t i = 0; i < BLOCK / 8; i++)
		words[i] = tt->tt_rounds << 8 | (uint64_t)tt->tt_number;
	CHECK_EQ(copyout(words, buffer(tt), BLOCK), 0);
	CHECK_EQ(sys_write(tm_proc, vp, (voff_t)(tt->tt_rounds % 3 * 8), buffer(tt), &len, 0), 0);
	CHECK_EQ(len, BLOCK);
}

static void
read_block(struct tm_thread *tt)
{
	uint64_t words[(BLOCK - 16) / 8];
	size_t len = sizeof(words);

	CHECK_EQ(sys_read(tm_proc, vp, 16, buffer(tt), &len, 0), 0);
	CHECK_EQ(copyin(buffer(tt), words, sizeof(words)), 0);
	for (uint64_t i = 1; i < sizeof(words) / 8; i++)
		CHECK_EQ(words[i], words[0]);
}

static void
blocks(struct tm_thread *tt)
{
	while (go_on(tt))
		if (tt->tt_number % 2 == 0)
			write_block(tt);
		else if (tt->tt_number == 1 && tt->tt_rounds % 8 == 0)
			CHECK_EQ(tu_put(&vp->v_uobj, 0, 0, PGO_FREE | PGO_CLEANIT | PGO_SYNCIO), 0);
		else
			read_block(tt);
}

KTEST(I_UBC_6_read_sees_writes_as_wholes, "read sees writes as wholes, in memory and from the file")
{
	struct tm_thread tt[6], first = { .tt_number = 0 };

	begin(4);
	vp = tu_file(4 * PAGE_SIZE);
	write_block(&first);
	first.tt_rounds = 1;
	write_block(&first);
	first.tt_rounds = 2;
	write_block(&first);
	run(tt, 6, blocks, 200);
	CHECK(tu_count(UVMC_ubc_faultbusy) > 10);
	vrele(vp);
	tm_shutdown();
}

/* --- H-3, T-63: everybody copies pages of one file onto each other --- */

static void
copier(struct tm_thread *tt)
{
	uint64_t i = (uint64_t)tt->tt_number * 31;

	while (go_on(tt)) {
		uint64_t from = ++i * 7 % (NPAGES - 3), to = i * 11 % (NPAGES - 3);
		size_t len = 3 * PAGE_SIZE;

		if (i % 32 == 0)
			CHECK_EQ(sys_msync(tm_proc, FILE_VA, NPAGES * PAGE_SIZE, UMS_SYNC | UMS_INVALIDATE), 0);
		else if (i % 2)
			CHECK_EQ(sys_write(tm_proc, vp, (voff_t)ptoa(to), FILE_VA + ptoa(from), &len, 0), 0);
		else
			CHECK_EQ(sys_read(tm_proc, vp, (voff_t)ptoa(to), FILE_VA + ptoa(from), &len, 0), 0);
	}
}

KTEST(T63_H3_everybody_copies_pages_of_one_file, "reads into and writes from mappings of the same file get on")
{
	struct tm_thread tt[6];

	begin(4);
	vp = tu_file(NPAGES * PAGE_SIZE);
	map_file(vp, NPAGES * PAGE_SIZE);
	run(tt, 6, copier, 150);
	vrele(vp);
	tm_shutdown();
}

/* --- T-65, T-66: truncation against all --- */

static void
truncator(struct tm_thread *tt)
{
	uint64_t i = 0;

	while (go_on(tt)) {
		CHECK_EQ(sys_ftruncate(tm_proc, vp, (voff_t)(++i * 1237 % (NPAGES * PAGE_SIZE))), 0);
		CHECK_EQ(sys_ftruncate(tm_proc, vp, NPAGES * (voff_t)PAGE_SIZE), 0);
	}
}

/* Maps what others fault on anew: a fault that sleeps in get finds the map changed (T-66, B-24). */
static void
mapper(struct tm_thread *tt)
{
	while (go_on(tt)) {
		map_file(vp, NPAGES * PAGE_SIZE);
		CHECK_EQ(sys_munmap(tm_proc, FILE_VA + ptoa(tt->tt_rounds % NPAGES), PAGE_SIZE), 0);
	}
}

static void
toucher(struct tm_thread *tt)
{
	uint64_t i = (uint64_t)tt->tt_number, w;

	while (go_on(tt)) {
		voff_t off = (voff_t)(++i * 2731 % (NPAGES * PAGE_SIZE) & ~7UL);
		int error = i % 3 == 0 ? user_store(FILE_VA + (vaddr_t)off, tu_word(off)) :
		    user_load(FILE_VA + (vaddr_t)off, &w);

		CHECK(error == 0 || error == EINVAL || error == EFAULT);
		if (error == 0 && i % 3 != 0)
			CHECK(w == 0 || w == tu_word(off));
	}
}

/* => extends the file while it is being cut, reads it, writes it back */
static void
user(struct tm_thread *tt)
{
	uint64_t i = (uint64_t)tt->tt_number, words[8];

	while (go_on(tt)) {
		voff_t off = (voff_t)(++i * 1931 % (NPAGES * PAGE_SIZE - 64) & ~7UL);
		size_t len = 64;

		for (unsigned k = 0; k < 8; k++)
			words[k] = tu_word(off + k * 8);
		CHECK_EQ(copyout(words, buffer(tt), 64), 0);
		if (i % 2 == 0) {
			CHECK_EQ(sys_write(tm_proc, vp, off, buffer(tt), &len, 0), 0);
			continue;
		}
		CHECK_EQ(sys_read(tm_proc, vp, off, buffer(tt), &len, 0), 0);
		CHECK_EQ(copyin(buffer(tt), words, 64), 0);
		for (unsigned k = 0; (k + 1) * 8 <= len; k++)
			CHECK(words[k] == 0 || words[k] == tu_word(off + k * 8));
		if (i % 64 == 1)
			CHECK_EQ(sys_fsync(tm_proc, vp), 0);
	}
}

static void
all_against_all(struct tm_thread *tt)
{
	if (tt->tt_number == 0)
		truncator(tt);
	else if (tt->tt_number == 1)
		mapper(tt);
	else if (tt->tt_number < 4)
		toucher(tt);
	else
		user(tt);
}

KTEST(T65_T66_truncation_against_faults_windows_and_new_mappings,
    "truncation against faults, windows, extensions and new mappings: zero or the word, and no lock is left")
{
	struct tm_thread tt[7];

	begin(4);
	vp = tu_file(NPAGES * PAGE_SIZE);
	map_file(vp, NPAGES * PAGE_SIZE);
	run(tt, 7, all_against_all, 300);
	CHECK_EQ(vp->v_size, vp->v_writesize);
	vrele(vp);
	tm_shutdown();
}

/* --- T-69: msync waits for a page, its holder for the map, a writer of the map queues --- */

static void
cycle(struct tm_thread *tt)
{
	vaddr_t va = FILE_VA + ptoa(NPAGES);

	while (go_on(tt))
		switch (tt->tt_number) {
		case 0:
			CHECK_EQ(sys_msync(tm_proc, FILE_VA, NPAGES * PAGE_SIZE, UMS_SYNC | UMS_INVALIDATE), 0);
			break;
		case 1:
			CHECK_EQ(sys_mmap(tm_proc, &va, PAGE_SIZE, RW, UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED,
			    NULL, 0, 0), 0);
			CHECK_EQ(sys_munmap(tm_proc, va, PAGE_SIZE), 0);
			break;
		default:
			CHECK_EQ(user_store(FILE_VA + ptoa(tt->tt_rounds * 3 % NPAGES), tt->tt_rounds), 0);
		}
}

KTEST(T69_H1_msync_faults_and_a_writer_of_the_map_get_on, "msync, faults and a writer of the map make no cycle")
{
	struct tm_thread tt[4];

	begin(4);
	vp = tu_file(NPAGES * PAGE_SIZE);
	map_file(vp, NPAGES * PAGE_SIZE);
	run(tt, 4, cycle, 300);
	vrele(vp);
	tm_shutdown();
}

/* --- appends --- */

static void
appender(struct tm_thread *tt)
{
	uint64_t record[100];
	voff_t off;

	for (int r = 0; r < 60; r++) {
		size_t len = sizeof(record);

		for (unsigned i = 0; i < 100; i++)
			record[i] = (uint64_t)tt->tt_number << 32 | (uint64_t)r;
		CHECK_EQ(copyout(record, buffer(tt), sizeof(record)), 0);
		CHECK_EQ(sys_append(tm_proc, vp, &off, buffer(tt), &len), 0);
		CHECK_EQ(len, sizeof(record));
		CHECK_EQ(off % (voff_t)sizeof(record), 0);
		lwp_userret(64);
	}
}

KTEST(appends_neither_overlap_nor_tear, "appends of many threads neither overlap nor tear")
{
	struct tm_thread tt[6];
	uint8_t seen[6][60];

	memset(seen, 0, sizeof(seen));
	begin(4);
	vp = tu_file(0);
	tm_start(tm_proc, tt, 6, appender, NULL);
	tm_wait(tt, 6);
	CHECK_EQ(vp->v_size, 6 * 60 * 800);
	CHECK_EQ(sys_fsync(tm_proc, vp), 0);
	for (voff_t off = 0; off < vp->v_size; off += 800) {
		uint64_t w = tu_host_word(vp, off);

		CHECK((w >> 32) < 6 && (w & 0xffffffff) < 60);
		CHECK_EQ(seen[w >> 32][w & 0xffffffff]++, 0);
		for (voff_t i = 8; i < 800; i += 8)
			CHECK_EQ(tu_host_word(vp, off + i), w);
	}
	vrele(vp);
	tm_shutdown();
}

KTEST_MAIN()
