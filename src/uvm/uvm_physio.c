/*
 * Raw I/O (uvm-spec 6.8).
 *
 *	caller				disk		physiod
 *	  vslock a chunk's pages
 *	  map their frames (phys_map)
 *	  disk_strategy() ------------> moves data
 *	  next chunk			interrupt ----> look at the frames, unmap
 *	  ...						vsunlock
 *	  wait for all <------------------------------- one chunk less
 *
 * The device is given frames, those that the vslock wired; whatever becomes of the
 * addresses meanwhile (mprotect, fork) is nothing to it.  A driver that moves data itself
 * would do so through a window in phys_map, unmanaged (7.5); here physiod looks through
 * it at the end, and must see what the frames hold (R17).  Unlocking asks for the map, so
 * neither the interrupt nor the aiodone LWP may do it: an LWP of its own does.
 *
 * A chunk ends with a page where the offset allows, else in the middle of one.  Then the
 * next chunk starts in the same page, and waits until all before it are done.
 */
#include <machine/softmmu.h>
#include <sys/kmem.h>
#include <sys/sleepq.h>
#include <uvm/uvm.h>
#include <uvm/uvm_extern.h>
#include <uvm/uvm_physio.h>

#define	PHYSIO_INFLIGHT	16		/* chunks of one call at a time */

/* One call; lives on its caller's stack.  l  physio_lock */
struct physio {
	struct vmspace	*ph_vm;		/* : */
	int		 ph_fd;		/* : */
	bool		 ph_read;	/* : */
	int		 ph_running;	/* l: chunks under way */
	int		 ph_error;	/* l: of the first chunk, by offset, that failed */
	vsize_t		 ph_good;	/* l: bytes before it, of the call */
};

/* All fields: the caller until the chunk is started, physiod afterwards. */
struct physio_chunk {
	struct buf	 pc_buf;	/* the disk's in between */
	struct physio	*pc_call;
	struct uvm_vslock *pc_vslock;
	vaddr_t		 pc_window;	/* the frames in phys_map */
	vsize_t		 pc_done;	/* where it is in the call */
	TAILQ_ENTRY(physio_chunk) pc_link;	/* l */
};

static kmutex_t physio_lock;				/* LC_physio, spin, IPL_VM */
static TAILQ_HEAD(, physio_chunk) physio_done;		/* l */
static bool physio_stop;				/* l */
static struct lwp *physio_lwp;				/* : */

static void	physiod(void *);

void
uvm_physio_init(void)
{
	mutex_init(&physio_lock, MUTEX_DEFAULT, IPL_VM, LC_physio);
	TAILQ_INIT(&physio_done);
	physio_stop = false;
	if (lwp_create(&physio_lwp, NULL, "physiod", physiod, NULL) != 0)
		panic("cannot create the physiod LWP");
	lwp_start(physio_lwp);
}

void
uvm_physio_fini(void)
{
	mutex_spin_enter(&physio_lock);
	physio_stop = true;
	wakeup(&physio_done);
	mutex_spin_exit(&physio_lock);
	lwp_wait(physio_lwp);
	mutex_destroy(&physio_lock);
}

/* --- windows --- */

static int
chunk_npages(const struct physio_chunk *pc)
{
	return pc->pc_buf.b_npages;
}

/* => thread context, nothing locked; sleeps for addresses.  0, or ENOMEM: no memory for the entry, and none to be had */
static int
window_open(struct physio_chunk *pc)
{
	vm_prot_t prot = VM_PROT_READ | (pc->pc_call->ph_read ? VM_PROT_WRITE : 0);

	pc->pc_window = uvm_km_alloc(phys_map, ptoa(chunk_npages(pc)), 0,
	    UVM_KMF_VAONLY | UVM_KMF_WAITVA | UVM_KMF_CANFAIL);
	if (pc->pc_window == 0)
		return ENOMEM;
	for (int i = 0; i < chunk_npages(pc); i++)
		pmap_kenter_pa(pc->pc_window + ptoa(i), pc->pc_buf.b_pages[i], prot);
	pmap_update(pmap_kernel());
	return 0;
}

static void
window_close(struct physio_chunk *pc)
{
	vsize_t size = ptoa(chunk_npages(pc));

	pmap_kremove(pc->pc_window, size);
	pmap_update(pmap_kernel());
	uvm_km_free(phys_map, pc->pc_window, size, UVM_KMF_VAONLY);
	pc->pc_window = 0;
}

/*
 * The first word of each page, by the window and by the frame.  User threads may store to
 * it meanwhile, so it counts only when the frame's stands still.
 */
static void
window_check(struct physio_chunk *pc)
{
	for (int i = 0; i < chunk_npages(pc); i++) {
		const uint64_t *word = (const void *)frame_host(pc->pc_buf.b_pages[i]);
		uint64_t before = __atomic_load_n(word, __ATOMIC_RELAXED), seen;

		if (kern_load(pc->pc_window + ptoa(i), &seen) != 0)
			violation(VIOL_INVARIANT, "R17", "window at %#lx of a transfer is not mapped",
			    (unsigned long)(pc->pc_window + ptoa(i)));
		else if (seen != before && __atomic_load_n(word, __ATOMIC_RELAXED) == before)
			violation(VIOL_INVARIANT, "R17", "window at %#lx shows %#lx, frame %#lx has %#lx",
			    (unsigned long)(pc->pc_window + ptoa(i)), (unsigned long)seen,
			    (unsigned long)pc->pc_buf.b_pages[i], (unsigned long)before);
	}
}

/* --- the end of a chunk --- */

/* Interrupt, IPL_VM: the disk is done. */
static void
chunk_biodone(struct buf *bp)
{
	struct physio_chunk *pc = bp->b_private;

	mutex_spin_enter(&physio_lock);
	TAILQ_INSERT_TAIL(&physio_done, pc, pc_link);
	wakeup(&physio_done);
	mutex_spin_exit(&physio_lock);
}

/* => physio_lock held: what came of it; nobody may look at the call if it was the last one */
static void
account(struct physio_chunk *pc)
{
	const struct buf *bp = &pc->pc_buf;
	struct physio *ph = pc->pc_call;
	vsize_t good = pc->pc_done + bp->b_bytes - bp->b_resid;
	int error = bp->b_error;

	/* the caller's memory and address space are his again, and may go */
	KASSERT(pc->pc_vslock == NULL);
	KASSERT(pc->pc_window == 0);
	if (error == 0 && bp->b_resid != 0)
		error = EIO;			/* the device is as long as it said */
	if (error != 0 && good < ph->ph_good) {
		ph->ph_error = error;
		ph->ph_good = good;
	}
	ph->ph_running--;
	wakeup(ph);
}

static void
physiod(void *arg)
{
	struct physio_chunk *pc;

	mutex_spin_enter(&physio_lock);
	for (;;) {
		pc = TAILQ_FIRST(&physio_done);
		if (pc == NULL) {
			if (physio_stop)
				break;
			lwp_patient(true);
			(void)mtsleep(&physio_done, false, "physiod", 0, &physio_lock);
			lwp_patient(false);
			continue;
		}
		TAILQ_REMOVE(&physio_done, pc, pc_link);
		mutex_spin_exit(&physio_lock);
		window_check(pc);
		window_close(pc);
		uvm_vsunlock_frames(pc->pc_vslock);
		pc->pc_vslock = NULL;
		mutex_spin_enter(&physio_lock);
		account(pc);
		mutex_spin_exit(&physio_lock);
		kmem_free(pc, sizeof(*pc));
		lwp_beat();			/* the list may never be empty */
		mutex_spin_enter(&physio_lock);
	}
	mutex_spin_exit(&physio_lock);
}

struct lwp *
uvm_physio_forgotten(void)
{
	struct lwp *l;

	mutex_spin_enter(&physio_lock);
	l = !TAILQ_EMPTY(&physio_done) ? sleepq_sleeper(&physio_done) : NULL;
	mutex_spin_exit(&physio_lock);
	return l;
}

/* --- the call --- */

/*
 * => as many bytes of [uva, uva+left) as one transfer can take: up to a page's end, if that
 *    leaves the next one at a block of the device
 */
static vsize_t
chunk_size(vaddr_t uva, vsize_t left)
{
	vsize_t most = MAXPHYS - (uva & PAGE_MASK);

	if (left <= most)
		return left;
	return most / DEV_BSIZE * DEV_BSIZE;
}

/* => can the disk reach all of them? */
static bool
have_memory(const struct uvm_vslock *vl)
{
	for (uint64_t i = 0; i < atop(vl->vl_end - vl->vl_start); i++)
		if (device_register(vl->vl_frames[i]))
			return false;
	return true;
}

/* => 0: a chunk is under way; EFAULT, ENOMEM: it is not */
static int
start_chunk(struct physio *ph, voff_t off, vaddr_t uva, vsize_t bytes, vsize_t done)
{
	struct physio_chunk *pc;
	struct uvm_vslock *vl;
	struct buf *bp;
	int error;

	error = uvm_vslock_frames(ph->ph_vm, uva, bytes,
	    ph->ph_read ? VM_PROT_WRITE : VM_PROT_READ, &vl);
	if (error != 0)
		return error == ENOMEM ? ENOMEM : EFAULT;
	if (!have_memory(vl)) {
		uvm_vsunlock_frames(vl);
		return EFAULT;
	}
	pc = kmem_zalloc(sizeof(*pc), KM_SLEEP);
	pc->pc_call = ph;
	pc->pc_vslock = vl;
	pc->pc_done = done;
	bp = &pc->pc_buf;
	bp->b_fd = ph->ph_fd;
	bp->b_write = !ph->ph_read;
	bp->b_offset = (uint64_t)off;
	bp->b_bytes = (uint32_t)bytes;
	bp->b_pgoff = (uint32_t)(uva & PAGE_MASK);
	bp->b_npages = (int)atop(vl->vl_end - vl->vl_start);
	for (int i = 0; i < bp->b_npages; i++)
		bp->b_pages[i] = vl->vl_frames[i];
	bp->b_iodone = chunk_biodone;
	bp->b_private = pc;
	error = window_open(pc);
	if (error != 0) {
		uvm_vsunlock_frames(vl);
		kmem_free(pc, sizeof(*pc));
		return error;
	}
	mutex_spin_enter(&physio_lock);
	ph->ph_running++;
	KASSERT(ph->ph_running <= PHYSIO_INFLIGHT);
	mutex_spin_exit(&physio_lock);
	disk_strategy(bp);		/* it may all be over when this returns */
	return 0;
}

/* => waits until no more than so many chunks are under way; the first error by then */
static int
wait_running(struct physio *ph, int most)
{
	int error;

	mutex_spin_enter(&physio_lock);
	while (ph->ph_running > most)
		(void)mtsleep(ph, false, "physio", 0, &physio_lock);
	error = ph->ph_error;
	mutex_spin_exit(&physio_lock);
	return error;
}

/* => all chunks, as far as they go; none is under way any more.  0 or errno; *len bytes are good */
static int
run_chunks(struct physio *ph, voff_t off, vaddr_t uva, vsize_t *len)
{
	vsize_t done = 0, bytes;
	int error = 0, device;

	ph->ph_good = *len;
	while (done < *len && error == 0) {
		bool shares = done > 0 && ((uva + done) & PAGE_MASK) != 0;

		if (shares)
			UVMCNT(physio_shared);
		error = wait_running(ph, shares ? 0 : PHYSIO_INFLIGHT - 1);
		if (error != 0)
			break;
		bytes = chunk_size(uva + done, *len - done);
		error = start_chunk(ph, off + (voff_t)done, uva + done, bytes, done);
		if (error == 0)
			done += bytes;
	}
	/* an error of the device is of an earlier byte than ours */
	device = wait_running(ph, 0);

	*len = ph->ph_good < done ? ph->ph_good : done;
	return device != 0 ? device : error;
}

/* => how much of the device there is from off on */
static vsize_t
device_rest(struct vnode *vp, voff_t off)
{
	voff_t size;

	mutex_enter(&vp->v_uobj.vmobjlock);
	size = vp->v_size;
	mutex_exit(&vp->v_uobj.vmobjlock);
	return off < size ? (vsize_t)(size - off) : 0;
}

int
sys_physio(struct proc *p, struct vnode *vp, voff_t off, vaddr_t uva, vsize_t *len, bool read)
{
	struct physio ph = { .ph_vm = p->p_vmspace, .ph_fd = vp->v_fd, .ph_read = read };
	vsize_t want = *len, rest;
	int error;

	if (off < 0 || off % DEV_BSIZE != 0 || want % DEV_BSIZE != 0)
		return EINVAL;
	*len = 0;
	rest = device_rest(vp, off) / DEV_BSIZE * DEV_BSIZE;
	if (want == 0 || (rest == 0 && read))
		return 0;
	if (rest == 0)
		return ENOSPC;
	if (want > rest)
		want = rest;
	UVMCNT(physio);
	error = run_chunks(&ph, off, uva, &want);
	*len = want;
	return error;
}
