/*
 * bench file: how fast read() and write() move data of a file that is in memory, beside the
 * host's own on as large a file in its cache.
 *
 * Calls of 64 KiB, from the file's beginning to its end, by one process on one CPU.  The
 * windows of the default size are re-used long before the file is at its end, so each call
 * pays for its mappings; the loan row moves no data at all.
 */
#include <errno.h>
#include <unistd.h>

#include <harness/bench.h>
#include <uvm/uvm_extern.h>

#define	BASE		0x10000000UL
#define	CALL		65536UL
#define	SIZE		(64UL << 20)
#define	QUICK_SIZE	(8UL << 20)
#define	ROUNDS		7

enum how { READ, WRITE, LOAN };

/* => bytes a second of one pass, 0: a call failed */
static double
pass(struct proc *p, struct vnode *vp, uint64_t size, enum how how)
{
	uint64_t start = host_now_ns();

	for (uint64_t off = 0; off < size; off += CALL) {
		size_t n = CALL;
		int error = how == WRITE ? sys_write(p, vp, (voff_t)off, BASE, &n, 0) :
		    sys_read(p, vp, (voff_t)off, BASE, &n, how == LOAN ? SYSR_LOAN : 0);

		if (error != 0 || n != CALL)
			return 0;
		lwp_userret(16);
	}
	return (double)size * 1e9 / (double)(host_now_ns() - start + 1);
}

/* => [how]: the best pass; 0 or an errno */
static int
time_ubc(uint64_t size, double *best)
{
	vaddr_t va = BASE;
	struct vnode *vp;
	struct proc *p;
	int fd, error;

	error = host_file_temp(NULL, size, &fd);
	if (error != 0)
		return error;
	vp = vnode_create("bench", fd, (voff_t)size);
	error = proc_create("bench", &p);
	if (error != 0) {
		vrele(vp);
		return error;
	}
	proc_attach(p);
	error = sys_mmap(p, &va, CALL, VM_PROT_READ | VM_PROT_WRITE,
	    UMAP_PRIVATE | UMAP_ANON | UMAP_FIXED, NULL, 0, 0);
	/* write first: it fills the holes */
	for (int i = 0; i <= ROUNDS && error == 0; i++)
		for (int how = LOAN; how >= READ; how--) {
			double speed = pass(p, vp, size, how == LOAN && i == 0 ? WRITE : (enum how)how);

			if (speed == 0)
				error = EIO;
			else if (i > 0 && speed > best[how])
				best[how] = speed;
		}
	proc_attach(NULL);
	proc_exit(p);
	vrele(vp);
	return error;
}

static int
time_host(uint64_t size, double *best)
{
	static uint8_t buf[CALL];
	int fd, error = host_file_temp(NULL, size, &fd);

	if (error != 0)
		return error;
	for (int i = 0; i <= 2 * ROUNDS && error == 0; i++) {
		enum how how = i % 2 ? READ : WRITE;
		uint64_t start = host_now_ns();
		double speed;

		for (uint64_t off = 0; off < size && error == 0; off += CALL)
			if ((how == READ ? pread(fd, buf, CALL, (off_t)off) :
			    pwrite(fd, buf, CALL, (off_t)off)) != (ssize_t)CALL)
				error = EIO;
		speed = (double)size * 1e9 / (double)(host_now_ns() - start + 1);
		if (speed > best[how])
			best[how] = speed;
	}
	host_file_close(fd);
	return error;
}

int
bench_file(const struct bench_options *bo, struct bench_table *bt)
{
	uint64_t size = bo->bo_quick ? QUICK_SIZE : SIZE;
	const struct uvm_config uc = {
		.uc_ncpu = 1, .uc_seed = 1, .uc_memory = 2 * size + (16UL << 20), .uc_fault_ahead = true,
	};
	double ubc[3] = { 0 }, host[3] = { 0 };
	int error = uvm_boot(&uc);

	if (error != 0)
		return error;
	error = time_ubc(size, ubc);
	uvm_shutdown();
	if (error == 0)
		error = time_host(size, host);
	if (error != 0)
		return error;
	bench_ref(bench_add(bt, "read of 64 KiB, in memory, 1 CPU", "bytes/s", ubc[READ]),
	    "host: pread, in its cache", host[READ]);
	bench_ref(bench_add(bt, "write of 64 KiB, in memory, 1 CPU", "bytes/s", ubc[WRITE]),
	    "host: pwrite, in its cache", host[WRITE]);
	bench_ref(bench_add(bt, "read of 64 KiB by loan, 1 CPU", "bytes/s", ubc[LOAN]),
	    "host: pread, in its cache", host[READ]);
	return 0;
}
