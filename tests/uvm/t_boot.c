/*
 * Boot, shutdown, and whether a leak is noticed.
 */
#include "tuvm.h"

#include <errno.h>
#include <string.h>

static struct {
	unsigned	n;
	char		id[32];
	char		message[512];
} leak;

/* Leaks do not end the test; anything else does. */
static bool
sink(const struct violation *v)
{
	if (v->v_kind != VIOL_LEAK)
		return false;
	leak.n++;
	snprintf(leak.id, sizeof(leak.id), "%s", v->v_id);
	snprintf(leak.message, sizeof(leak.message), "%s", v->v_message);
	return true;
}

KTEST(boots_and_shuts_down_twice, "a second machine in the same process is as clean as the first")
{
	for (int i = 0; i < 2; i++) {
		tu_boot(4, 8192);
		CHECK_EQ(uvm.npages, 8192);
		CHECK(kernel_map != NULL && kmem_map != NULL);
		CHECK(uvm.ptpages > 0);
		CHECK(uvm.reserve_kernel == 28 && uvm.freemin > uvm.reserve_kernel);
		CHECK(uvm.freetarg > uvm.freemin && uvm.inactarg > uvm.freetarg);
		tu_shutdown();
		CHECK(uvm.pages == NULL);
	}
}

/* uvm-spec 5.3, 8.2: half a percent of memory, 128 KiB to 1 MiB for each CPU; a third more; a third of all */
KTEST(targets_go_by_memory_and_CPUs, "of free pages, and how much may be wired")
{
	static const struct {
		int	 ncpus;
		uint64_t npages, kernel, freemin, freetarg, wiredmax;
	} machine[] = {
		{ 1, 4096, 10, 32, 42, 1365 },		/* the least */
		{ 1, 16384, 10, 81, 108, 5461 },
		{ 1, 65536, 10, 256, 341, 21845 },	/* the most */
		{ 4, 8192, 28, 128, 170, 2730 },
		{ 4, 65536, 28, 327, 436, 21845 },
	};

	for (size_t i = 0; i < sizeof(machine) / sizeof(machine[0]); i++) {
		tu_boot(machine[i].ncpus, machine[i].npages);
		CHECK(uvm.reserve_pagedaemon == 4 && uvm.reserve_kernel == machine[i].kernel);
		CHECK(uvm.freemin == machine[i].freemin && uvm.freetarg == machine[i].freetarg);
		CHECK_EQ(uvm.wiredmax, machine[i].wiredmax);
		tu_shutdown();
	}
}

KTEST(smallest_memory_boots, "uvm_memory_min() is enough to boot, for few CPUs and for many")
{
	for (int n = 1; n <= 16; n *= 4) {
		tu_boot(n, atop(uvm_memory_min(n)));
		CHECK(uvm.free > uvm.freetarg);
		tu_shutdown();
	}
}

KTEST(too_little_memory_is_EINVAL, "less than the smallest memory is refused before anything boots")
{
	struct uvm_config uc = { .uc_ncpu = 2, .uc_memory = uvm_memory_min(2) - PAGE_SIZE };

	CHECK_EQ(uvm_boot(&uc), EINVAL);
	uc.uc_memory = uvm_memory_min(2);
	uc.uc_ncpu = 0;
	CHECK_EQ(uvm_boot(&uc), EINVAL);
}

KTEST(leaked_page_is_found, "one page that is not given back is one leak, reported by kind")
{
	failure_sink = sink;
	tu_boot(1, 4096);
	CHECK(uvm_pagealloc(NULL, 0, NULL, UVM_PGA_PRIVATE) != NULL);
	CHECK_EQ(uvm_shutdown(), 1);
	CHECK_EQ(leak.n, 1);
	CHECK(strcmp(leak.id, "I-PG-1") == 0 && strstr(leak.message, "1 pages") != NULL);
	CHECK(strstr(leak.message, "kernel page") != NULL);
}

KTEST(leaked_vnode_is_found, "a vnode with a reference left is named in the report")
{
	failure_sink = sink;
	tu_boot(1, 4096);
	CHECK(tu_file(64) != NULL);
	CHECK(uvm_shutdown() > 0);
	CHECK(leak.n >= 1);
}

KTEST(I_KM_4_addresses_of_kernel_map, "addresses of kernel_map that nobody has given back are a leak")
{
	failure_sink = sink;
	tu_boot(1, 4096);
	CHECK(uvm_km_alloc(kernel_map, PAGE_SIZE, 0, UVM_KMF_VAONLY) != 0);
	(void)uvm_shutdown();
	CHECK_EQ(leak.n, 1);
}

KTEST(leaked_aobj_is_found, "an anonymous object with a page left is a leak, and so is its page")
{
	failure_sink = sink;
	tu_boot(1, 4096);
	tu_resident(uao_create(ptoa(4), 0), 0);
	CHECK(uvm_shutdown() > 1);
	CHECK(leak.n >= 2);
}

KTEST(counters_are_summed_over_CPUs, "uvm_stat_get() sees what every CPU counted")
{
	struct uvmexp ue;

	tu_boot(4, 4096);
	for (int i = 0; i < 4; i++)
		((struct uvm_cpu *)cpus[i].ci_uvm)->uc_count[UVMC_forks] = 10;
	UVMCNT(forks);
	uvm_stat_get(&ue);
	CHECK_EQ(ue.count[UVMC_forks], 41);
	CHECK_EQ(ue.npages, ue.free + ue.active + ue.inactive + ue.wired + ue.kernpages + ue.busy);
	CHECK_EQ(ue.busy, 0);
	CHECK(strcmp(uvm_counter_name[UVMC_forks], "forks") == 0);
	tu_shutdown();
}

/* From 1 ms to 10 s, so what boot has noted down is below, and does not count. */
KTEST(latencies_are_told_by_their_share, "a percentile is right to an eighth, the longest is told as it is, and each counts in its power of two")
{
	const uint64_t ms = 1000000, n = 10000;
	uint64_t octave[UVM_LATENCY_OCTAVES] = { 0 };
	struct uvm_latency before, ul;

	tu_boot(1, 4096);
	uvm_latency_get(&before);
	CHECK(before.ul_n < 10);
	for (uint64_t i = 1; i <= n; i++) {
		uvm_latency_note(i * ms);
		octave[63 - __builtin_clzll(i * ms)]++;
	}
	uvm_latency_get(&ul);
	CHECK_EQ(ul.ul_n, before.ul_n + n);
	CHECK_EQ(ul.ul_max, n * ms);
	CHECK(ul.ul_p50 >= 4990 * ms && ul.ul_p50 <= 5000 * ms * 9 / 8);
	CHECK(ul.ul_p90 >= 8990 * ms && ul.ul_p90 <= 9000 * ms * 9 / 8);
	CHECK(ul.ul_p99 >= 9890 * ms && ul.ul_p99 <= 9900 * ms * 9 / 8);
	CHECK(ul.ul_p999 >= 9980 * ms && ul.ul_p999 <= 9990 * ms * 9 / 8);
	for (int k = 25; k < UVM_LATENCY_OCTAVES; k++)
		CHECK_EQ(ul.ul_octave[k], octave[k]);
	tu_shutdown();
}

KTEST_MAIN()
