/*
 * bench fork: fork of a large address space and exit of the child, beside the host's own.
 *
 * All of the space is private memory and in memory, in pages of 4 KiB.  The host's turn is done by a
 * process of its own, which is there before the machine is, so that what is forked is its memory
 * alone and not the machine's, too.  CPU time counts, for the host that of parent and child.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <host/host.h>

#include "bench_int.h"

#define	BYTES		(1UL << 30)
#define	QUICK_BYTES	(128UL << 20)

/* The host's process: it answers each byte of fh_ask with ns, or -1. */
struct fork_host {
	pid_t	fh_pid;
	int	fh_ask, fh_answer;
};

struct forks {
	struct proc	*fo_proc;
	struct fork_host *fo_host;
	uint64_t	 fo_pages;
	size_t		 fo_turns;
	double		 fo_v[2][BENCH_ROUNDS];
};

/* --- the host's --- */

/* => ns of the parent's and the child's CPU time, or -1 */
static double
fork_and_exit(void)
{
	uint64_t start = host_cpu_ns();
	struct rusage ru;
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(0);
	if (pid < 0 || wait4(pid, &status, 0, &ru) != pid)
		return -1;
	return (double)(host_cpu_ns() - start) + (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e9 +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1e3;
}

/* => never; system calls only: other threads of the process that was forked are not here */
static void
host_main(int ask, int answer, uint64_t bytes)
{
	uint8_t *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double ns;
	char c;

	if (mem != MAP_FAILED) {
		madvise(mem, bytes, MADV_NOHUGEPAGE);
		for (uint64_t i = 0; i < bytes; i += PAGE_SIZE)
			*(volatile uint8_t *)&mem[i] = 1;
	}
	while (read(ask, &c, 1) == 1) {
		ns = mem != MAP_FAILED ? fork_and_exit() : -1;
		if (write(answer, &ns, sizeof(ns)) != (ssize_t)sizeof(ns))
			break;
	}
	_exit(0);
}

/* => before the machine boots */
static int
host_begin(struct fork_host *fh, uint64_t bytes)
{
	int ask[2], answer[2];

	if (pipe(ask) != 0)
		return errno;
	if (pipe(answer) != 0) {
		close(ask[0]);
		close(ask[1]);
		return EMFILE;
	}
	fh->fh_pid = fork();
	if (fh->fh_pid == 0) {
		close(ask[1]);
		close(answer[0]);
		host_main(ask[0], answer[1], bytes);
	}
	close(ask[0]);
	close(answer[1]);
	fh->fh_ask = ask[1];
	fh->fh_answer = answer[0];
	return fh->fh_pid < 0 ? EAGAIN : 0;
}

static void
host_end(struct fork_host *fh)
{
	close(fh->fh_ask);		/* it reads the end */
	close(fh->fh_answer);
	if (fh->fh_pid > 0)
		waitpid(fh->fh_pid, NULL, 0);
}

static double
hosts(void *arg)
{
	struct forks *fo = arg;
	double ns;

	if (write(fo->fo_host->fh_ask, "", 1) != 1 ||
	    read(fo->fo_host->fh_answer, &ns, sizeof(ns)) != (ssize_t)sizeof(ns))
		return -1;
	return ns;
}

/* --- ours --- */

static double
ours(void *arg)
{
	struct forks *fo = arg;
	uint64_t start = host_cpu_ns();
	struct proc *child;

	if (proc_fork(fo->fo_proc, "child", &child) != 0)
		return -1;
	proc_exit(child);
	return (double)(host_cpu_ns() - start);
}

static int
measure(struct proc *p, void *arg)
{
	static bench_way *const ways[] = { ours, hosts };
	struct forks *fo = arg;
	vaddr_t va = BENCH_BASE;
	int error = sys_mmap(p, &va, ptoa(fo->fo_pages), VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);

	fo->fo_proc = p;
	if (error == 0)
		error = bench_store(BENCH_BASE, fo->fo_pages);
	return error != 0 ? error : bench_in_turn(ways, 2, fo, fo->fo_turns, false, fo->fo_v);
}

int
bench_fork(const struct bench_options *bo, struct bench_table *bt)
{
	const uint64_t bytes = bo->bo_quick ? QUICK_BYTES : BYTES;
	const struct uvm_config uc = {
		.uc_ncpu = 1, .uc_seed = 1, .uc_memory = bytes + bytes / 8 + (32UL << 20),
		.uc_fault_ahead = true,
	};
	struct fork_host fh = { 0 };
	struct forks fo = { .fo_host = &fh, .fo_pages = atop(bytes), .fo_turns = bench_turns(bo) };
	char name[64];
	int error;

	snprintf(name, sizeof(name), "fork of %lu MiB, and exit", (unsigned long)(bytes >> 20));
	if (!bench_has_memory(bt, name, uc.uc_memory + bytes + bytes / 8))
		return 0;
	error = host_begin(&fh, bytes);
	if (error == 0)
		error = bench_machine(&uc, true, measure, &fo);
	host_end(&fh);
	if (error == 0)
		bench_against_turns(bench_add_cpu_ns(bt, name, fo.fo_v[0], fo.fo_turns),
		    "host: as much resident", fo.fo_v[1], fo.fo_turns, BENCH_BETTER, 2.0);
	return error;
}
