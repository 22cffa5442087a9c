/*
 * The content oracles ring: each workload runs on the real engine, now and then one word is not
 * what was stored, and the verification that meets it names its rule, and no other.
 *
 * The linker puts us between the workload and its loads (--wrap), where memory, a file, or a slot of
 * swap that holds the wrong word shows itself.  One CPU and one seed: a case is the same each time.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/engine.h>
#include <machine/softmmu.h>
#include <sys/lwp.h>
#include <unistd.h>
#include <uvm/uvm.h>
#include <uvm/uvm_proc.h>

#include "../../workloads/engine_int.h"
#include "../../workloads/workloads.h"
#include "ktest.h"

enum how {
	FLIP,		/* a bit of what is loaded */
	STALE,		/* what was once loaded from there, instead of what is there now */
	REVIVED,	/* likewise, instead of a zero of a file */
	HOST,		/* a bit of what the host's file has */
	TORN,		/* read() gives half of the record that was there before */
};

#define	EVERY	7		/* such chances are let go by between two */
#define	WORDS	65536
#define	READS	64
#define	RECORD	1000		/* bytes of a record of the log of file-io */

/* atomic: armed, told; the rest belongs to whoever holds the one CPU */
static struct {
	enum how	c_how;
	bool		c_armed;
	atomic_int	c_told;
	unsigned	c_chances;
	struct old {
		uint32_t	o_pid;
		vaddr_t		o_va;
		uint64_t	o_value;
	} c_old[WORDS];			/* the first that was loaded from there */
	struct before {
		const struct vnode *b_vp;
		voff_t		b_off;
		size_t		b_len;
		uint64_t	b_words[RECORD / 8];
	} c_before[READS];
} c;

static bool
chance(void)
{
	return __atomic_load_n(&c.c_armed, __ATOMIC_RELAXED) && ++c.c_chances % EVERY == 0;
}

static struct old *
old_of(uint32_t pid, vaddr_t va)
{
	return &c.c_old[(va / 8 * 2654435761u + pid) % WORDS];
}

/* => an object's page: what the file has there, and no buffer */
static bool
of_object(vaddr_t va)
{
	paddr_t pa;

	return pmap_extract(curlwp->l_pmap, va, &pa) && PHYS_TO_VM_PAGE(pa)->uobject != NULL;
}

static uint64_t
altered(vaddr_t va, uint64_t value)
{
	const uint32_t pid = curlwp->l_proc != NULL ? curlwp->l_proc->p_pid : 0;
	struct old *o = old_of(pid, va);

	if (c.c_how == FLIP)
		return chance() ? value ^ UINT64_C(1) << 37 : value;
	if (c.c_how != STALE && (c.c_how != REVIVED || !of_object(va)))
		return value;
	if (o->o_pid != pid || o->o_va != va || o->o_value == 0) {
		*o = (struct old){ pid, va, value };
		return value;
	}
	return o->o_value != value && (c.c_how == STALE || value == 0) && chance() ? o->o_value : value;
}

int	__real_user_load(vaddr_t, uint64_t *);
int	__wrap_user_load(vaddr_t, uint64_t *);
ssize_t	__real_pread64(int, void *, size_t, off_t);
ssize_t	__wrap_pread64(int, void *, size_t, off_t);
int	__real_sys_read(struct proc *, struct vnode *, voff_t, vaddr_t, size_t *, int);
int	__wrap_sys_read(struct proc *, struct vnode *, voff_t, vaddr_t, size_t *, int);

int
__wrap_user_load(vaddr_t va, uint64_t *value)
{
	int error = __real_user_load(va, value);

	if (error == 0)
		*value = altered(va, *value);
	return error;
}

ssize_t
__wrap_pread64(int fd, void *buf, size_t len, off_t off)
{
	ssize_t n = __real_pread64(fd, buf, len, off);

	if (c.c_how == HOST && n >= 8 && chance())
		*(uint64_t *)buf ^= UINT64_C(1) << 37;
	return n;
}

/* => the second half of what was read is what was read there before, if that was something else */
static void
tear(const struct vnode *vp, voff_t off, vaddr_t buf, size_t n)
{
	struct before *b = &c.c_before[(uint64_t)off / 512 % READS];
	const size_t words = n / 8;
	bool same = b->b_vp == vp && b->b_off == off && b->b_len == n;

	for (size_t i = 0; i < words; i++) {
		uint64_t now = 0;

		if (__real_user_load(buf + i * 8, &now) != 0)
			return;
		if (same && i >= words / 2 && b->b_words[i] != now && c.c_armed)
			(void)user_store(buf + i * 8, b->b_words[i]);
		else
			b->b_words[i] = now;
	}
	b->b_vp = vp;
	b->b_off = off;
	b->b_len = n;
}

int
__wrap_sys_read(struct proc *p, struct vnode *vp, voff_t off, vaddr_t buf, size_t *n, int flags)
{
	int error = __real_sys_read(p, vp, off, buf, n, flags);

	if (c.c_how == TORN && error == 0 && *n == RECORD)
		tear(vp, off, buf, *n);
	return error;
}

/* One is enough: the rest of the run is as it should be. */
static void
told(void *arg, struct run_result *rr, size_t first)
{
	__atomic_store_n(&c.c_armed, false, __ATOMIC_RELAXED);
	atomic_store(&c.c_told, 1);
}

/* => does the list of words have it? */
static bool
listed(const char *list, const char *id)
{
	const size_t len = strlen(id);

	for (const char *at = list; (at = strstr(at, id)) != NULL; at += len)
		if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

static void
rings(enum how how, const char *workload, const char *options, const char *ids)
{
	struct run_options ro = { .ro_violation = told, .ro_stop = &c.c_told };
	struct profile *p = profile_create(workload_table);
	struct profile_error err;
	struct run_result rr;
	char text[512];

	c.c_how = how;
	c.c_armed = true;
	snprintf(text, sizeof(text), "[global]\ncpus = 1\nseed = 1\nmemory = 16M\nswap = 32M\ntime = 600s\n"
	    "ops = 30000\n[job]\nworkload = %s\n%s", workload, options);
	CHECK(profile_parse_buffer(p, "content.ini", ".", text, strlen(text), &err) == 0);
	CHECK(profile_resolve(p, &err) == 0);
	run_result_init(&rr);
	rr.rr_schedule = strdup("free");
	rr.rr_profile = strdup(text);
	rr.rr_command = strdup("uvmstress run content.ini");
	CHECK_EQ(engine_run(p, &ro, &rr), 0);
	if (rr.rr_nviolations == 0)
		ktest_fail(__FILE__, __LINE__, "%s: nobody has noticed, %u chances", workload, c.c_chances);
	for (size_t i = 0; i < rr.rr_nviolations; i++)
		if (strcmp(rr.rr_violations[i].rv_kind, "content") != 0 ||
		    !listed(ids, rr.rr_violations[i].rv_id))
			ktest_fail(__FILE__, __LINE__, "%s: %s/%s: %s", workload, rr.rr_violations[i].rv_kind,
			    rr.rr_violations[i].rv_id, rr.rr_violations[i].rv_message);
	run_result_fini(&rr);
	profile_destroy(p);
}

#define	RINGS(name, claim, how, workload, options, ids)				\
	KTEST(name, claim)							\
	{									\
		rings(how, workload, options, ids);				\
	}

RINGS(private_memory, "a process reads what it stored", FLIP, "anon-fault", "", "private zero-fill")
RINGS(I_PMAP_12_store_that_is_lost, "a store that went with its mapping", STALE, "swap-churn",
    "size = 4M\n", "fork raid private zero-fill")
RINGS(memory_from_swap, "what comes back from swap is what went out", FLIP, "swap-churn", "size = 24M\n",
    "private zero-fill fork raid")
RINGS(I_SYS_6_neither_old_nor_zero, "memory that was given up holds something else", FLIP, "pressure", "",
    "private zero-fill coherent")
RINGS(I_SYS_1_call_that_changes_something, "memory after calls that failed, and others", FLIP, "map-churn", "",
    "private zero-fill")
RINGS(I_SYS_1_moved_memory, "memory that was moved or extracted", FLIP, "mremap-extract", "", "extract")
RINGS(I_SYS_2_fork, "a child sees each word as it was at one moment", FLIP, "cow-fork", "",
    "zero-fill private fork-snapshot cow-isolation")
RINGS(I_SYS_2_old_word_in_the_child, "likewise, and not as it was before that", STALE, "cow-fork", "",
    "cow-isolation fork-snapshot")
RINGS(shared_memory, "a store to shared memory is seen by all", FLIP, "shared-anon", "processes = 2\n",
    "coherent")
RINGS(shared_memory_that_is_old, "likewise, and nobody sees an older one after it", STALE, "shared-anon",
    "processes = 2\n", "coherent")
RINGS(shared_objects, "the same of shared memory objects", STALE, "aobj-shm", "processes = 2\n", "coherent")
RINGS(mapped_files, "what a mapping of a file shows", FLIP, "file-map", "", "coherent file-content")
RINGS(I_SYS_7_file_after_msync, "what the host's file holds after msync", HOST, "file-map", "",
    "file-after-msync")
RINGS(I_SYS_7_file_after_fsync, "what the host's file holds after fsync", HOST, "file-io", "", "I-SYS-7")
RINGS(I_SYS_4_read_and_mappings, "read() and a mapping give the same", FLIP, "file-io", "",
    "read-word coherent block-stamp")
RINGS(I_UBC_6_torn_read, "read() gives parts of two writes", TORN, "file-io", "", "I-UBC-6")
RINGS(truncated_files, "words of a file that shrinks and grows", FLIP, "truncate", "", "truncate-stamp")
RINGS(I_SYS_8_what_was_cut_off_is_back, "a file that has grown again shows what was there before", REVIVED,
    "truncate", "", "I-SYS-8")
RINGS(read_by_loan, "memory that was read by loan", FLIP, "loan-read", "", "loan-stamp")
RINGS(lent_memory, "memory that was lent to anons", FLIP, "loan-anon", "", "private zero-fill")
RINGS(sent_memory, "memory that is sent while it is stored to", FLIP, "loan-tx", "", "private zero-fill")
RINGS(device_memory, "what processes see of a device", FLIP, "device-map", "processes = 2\n", "device-content coherent")
RINGS(raw_transfers, "raw I/O moves what the process sees", FLIP, "mlock-physio", "", "raw-content")
RINGS(page_tables_without_end, "one page in each table", FLIP, "ptp-exhaust", "", "private coherent")
RINGS(I_SYS_1_chaos, "every word is where it was stored, whatever calls there were", FLIP, "chaos", "", "misplaced")

KTEST_MAIN()
