/*
 * Zero-copy transmission (uvm-spec 10.6).
 *
 *	va	   |..head|  page  |  page  |  page  |tail..|
 *	copied	    `----'                            `----'	to clusters
 *	on loan	           `------ one window -------'		external storage of one mbuf
 *
 *	sender				interrupt		loanfree LWP
 *	  borrow the pages, map them
 *	  read-only in mb_map
 *	  nic_transmit() -------------> the packet has left
 *	  ...				look through the window
 *					free the mbufs --------> unmap, give the pages
 *	  so_send_wait() <------------- say so			back, and the addresses
 *
 * The whole pages of the buffer are lent to the kernel.  Anybody may go on storing to them:
 * that breaks the loan, and the wire sees the old content.  The window's mappings are
 * unmanaged, so nothing that happens to the pages' owners touches them (R6, R17); the kernel
 * looks through them when the packet leaves, in interrupt, as a driver would that moves the
 * data itself: a fault there would be the end (T-81).
 *
 * The interrupt may have stopped an LWP that holds kernel_map, or an owner's lock, so neither
 * the addresses nor the pages can be given back there (T-59, I-KM-5); it puts the window on the
 * loanfree list.  Clusters and mbufs go back to their pools at once (R43).
 *
 * Windows may take so many addresses and no more (I-LOAN-8).  Without, or when the memory cannot
 * be lent (wired, unmapped...), everything is copied.
 */
#include <machine/nic.h>
#include <machine/softmmu.h>
#include <string.h>
#include <sys/mbuf.h>
#include <sys/pool.h>
#include <uvm/uvm.h>
#include <uvm/uvm_loan.h>
#include <uvm/uvm_proc.h>
#include <uvm/uvm_sosend.h>

#define	WINDOW_PAGES	(SO_SEND_MAX / PAGE_SIZE)
#define	KVA_MAX		(16UL << 20)
#define	RING_PAUSE_NS	100000
#define	LOOK_STEP	8		/* words between two that are looked at through the window */

/*
 * One packet, and the window onto its pages on loan.
 *	!  the sender until nic_transmit(), then the interrupt, then the loanfree LWP
 *	s  so_lock
 */
struct so_packet {
	struct uvm_loanfree sp_free;		/* ! must be first */
	struct nic_packet sp_nic;		/* ! */
	struct mbuf	*sp_chain;		/* ! */
	struct so_send	*sp_send;		/* ! */
	vaddr_t		 sp_kva;		/* ! the window, or 0 */
	int		 sp_npages;		/* !, read s */
	struct vm_page	*sp_pgs[WINDOW_PAGES];	/* !, read s */
	uint64_t	 sp_look;		/* ! what the window showed when it was made */
	TAILQ_ENTRY(so_packet) sp_link;		/* s */
};

static kmutex_t so_lock;			/* LC_sosend, spin, IPL_VM */
static TAILQ_HEAD(, so_packet) so_packets;	/* s */
static vsize_t so_kva;				/* s: bytes of windows */
static vsize_t so_kva_limit;			/* : */
static struct pool *so_pool;			/* : */

/* --- the window --- */

/* => what a few words of the window say; in interrupt too: it must not fault */
static uint64_t
look(const struct so_packet *sp)
{
	uint64_t sum = 0, w;

	for (vaddr_t va = sp->sp_kva; va < sp->sp_kva + ptoa((uint64_t)sp->sp_npages);
	    va += LOOK_STEP * sizeof(w)) {
		if (kern_load(va, &w) != 0)
			panic("R6: kernel address %#lx, a window onto a page on loan, is not mapped",
			    (unsigned long)va);
		sum = sum * 3 + w;
	}
	return sum;
}

/* => an address for n pages, or 0: copy */
static vaddr_t
window_va(int n)
{
	vsize_t size = ptoa((uint64_t)n);
	vaddr_t va = 0;
	bool may;

	mutex_spin_enter(&so_lock);
	may = so_kva + size <= so_kva_limit;
	if (may)
		so_kva += size;
	mutex_spin_exit(&so_lock);
	if (may)
		va = uvm_km_alloc(mb_map, size, 0, UVM_KMF_VAONLY | UVM_KMF_CANFAIL);
	if (va != 0)
		return va;
	UVMCNT(so_nowindow);
	if (may) {
		mutex_spin_enter(&so_lock);
		so_kva -= size;
		mutex_spin_exit(&so_lock);
	}
	return 0;
}

static void
window_free(vaddr_t va, int n)
{
	vsize_t size = ptoa((uint64_t)n);

	uvm_km_free(mb_map, va, size, UVM_KMF_VAONLY);
	mutex_spin_enter(&so_lock);
	KASSERT(so_kva >= size);
	so_kva -= size;
	mutex_spin_exit(&so_lock);
}

/*
 * Borrow whole pages, and map them.
 * => 0, or why they must be copied
 */
static int
window_open(struct so_packet *sp, struct vm_map *map, vaddr_t va, int n)
{
	vaddr_t kva = window_va(n);
	int error;

	if (kva == 0)
		return ENOMEM;
	error = uvm_loan(map, va, ptoa((uint64_t)n), sp->sp_pgs, UVM_LOAN_TOPAGE);
	if (error != 0) {
		window_free(kva, n);
		return error;
	}
	pmap_kenter_pages(kva, sp->sp_pgs, n, VM_PROT_READ);
	pmap_update(pmap_kernel());
	sp->sp_kva = kva;
	mutex_spin_enter(&so_lock);
	sp->sp_npages = n;
	mutex_spin_exit(&so_lock);
	sp->sp_look = look(sp);
	return 0;
}

/* => the kernel does not get at the pages any more, on any CPU: they may be stored to, and freed */
static void
give_back(struct so_packet *sp, int n)
{
	KASSERTMSG(!pmap_extract(pmap_kernel(), sp->sp_kva, NULL) && !pmap_deferred(pmap_kernel()),
	    "7.5: pages are given back, and the window onto them at %#lx is still there", (unsigned long)sp->sp_kva);
	uvm_unloan(sp->sp_pgs, n, UVM_LOAN_TOPAGE);
}

/* => thread context; all of a packet goes */
static void
packet_free(struct uvm_loanfree *lf)
{
	struct so_packet *sp = (struct so_packet *)lf;
	int n = sp->sp_npages;

	mutex_spin_enter(&so_lock);
	sp->sp_npages = 0;
	mutex_spin_exit(&so_lock);
	if (n > 0) {
		/* the kernel's mapping first, in every TLB: an unlent page may be stored to */
		pmap_kremove(sp->sp_kva, ptoa((uint64_t)n));
		pmap_update(pmap_kernel());
		give_back(sp, n);
		window_free(sp->sp_kva, n);
	}
	mutex_spin_enter(&so_lock);
	TAILQ_REMOVE(&so_packets, sp, sp_link);
	mutex_spin_exit(&so_lock);
	pool_put(so_pool, sp);
}

/* --- the chain --- */

/* The window's mbuf is freed, in interrupt: the packet, which is its storage, goes later. */
static void
window_ext_free(struct mbuf *m, uint8_t *buf, size_t size, void *arg)
{
	struct so_packet *sp = arg;

	KASSERT(size == ptoa((uint64_t)sp->sp_npages));
	uvm_loanfree(&sp->sp_free);
}

/* => the chain goes on with m */
static void
chain_add(struct so_packet *sp, struct mbuf ***tailp, struct mbuf *m)
{
	**tailp = m;
	*tailp = &m->m_next;
}

/* => clusters with a copy of [va, va+len) at the end of the chain; 0 or EFAULT... */
static int
chain_copy(struct so_packet *sp, struct mbuf ***tailp, vaddr_t va, vsize_t len)
{
	int error = 0;

	while (len > 0 && error == 0) {
		uint32_t n = len < MCLBYTES ? (uint32_t)len : MCLBYTES;
		struct mbuf *m = m_get(M_WAIT);

		(void)m_clget(m, M_WAIT);
		chain_add(sp, tailp, m);
		m->m_len = n;
		error = copyin(va, m->m_data, n);
		va += n;
		len -= n;
	}
	return error;
}

/*
 * => 0 and the chain; else what there is of it is to be freed
 */
static int
chain_build(struct so_packet *sp, struct vm_map *map, vaddr_t va, vsize_t len, bool loan)
{
	vaddr_t first = round_page(va), last = trunc_page(va + len);
	struct mbuf **tail = &sp->sp_chain;
	struct mbuf *m;
	int error;

	if (loan && first < last && window_open(sp, map, first, (int)atop(last - first)) == 0) {
		error = chain_copy(sp, &tail, va, first - va);
		m = m_get(M_WAIT);
		m_extadd(m, NULL, last - first, window_ext_free, sp);
		m->m_len = (uint32_t)(last - first);
		chain_add(sp, &tail, m);
		UVMCNT(so_loaned);
		return error != 0 ? error : chain_copy(sp, &tail, last, va + len - last);
	}
	UVMCNT(so_copied);
	return chain_copy(sp, &tail, va, len);
}

static void
add_segment(struct nic_packet *np, paddr_t pa, uint32_t len)
{
	KASSERT(np->np_nsegs < NIC_MAXSEGS);
	np->np_segs[np->np_nsegs].ns_pa = pa;
	np->np_segs[np->np_nsegs++].ns_len = len;
}

/* The chain as the interface wants it: by frame. */
static void
chain_segments(struct so_packet *sp)
{
	struct nic_packet *np = &sp->sp_nic;

	for (struct mbuf *m = sp->sp_chain; m != NULL; m = m->m_next) {
		if (m->m_data == NULL) {
			for (int i = 0; i < sp->sp_npages; i++)
				add_segment(np, VM_PAGE_TO_PHYS(sp->sp_pgs[i]), PAGE_SIZE);
			continue;
		}
		/* a cluster lies within a page */
		add_segment(np, (paddr_t)(m->m_data - ram_base), m->m_len);
	}
}

/* --- sending --- */

/* The packet has left; interrupt, IPL_VM. */
static void
packet_sent(struct nic_packet *np)
{
	struct so_packet *sp = np->np_private;
	struct so_send *ss = sp->sp_send;
	bool window = sp->sp_npages > 0;
	uint64_t sum = np->np_sum;

	if (window && look(sp) != sp->sp_look)
		violation(VIOL_CONTENT, "I-LOAN-3", "the window at %#lx shows other data than when it was made",
		    (unsigned long)sp->sp_kva);
	m_freem(sp->sp_chain);			/* the window's part of it: sp is the LWP's then */
	if (!window)
		uvm_loanfree(&sp->sp_free);
	mutex_spin_enter(&so_lock);
	ss->ss_sum = sum;
	ss->ss_done = true;
	wakeup(ss);
	mutex_spin_exit(&so_lock);
}

static struct so_packet *
packet_alloc(struct so_send *ss)
{
	struct so_packet *sp = pool_get(so_pool, PR_WAITOK | PR_ZERO);

	sp->sp_free.lf_func = packet_free;
	sp->sp_send = ss;
	sp->sp_nic.np_done = packet_sent;
	sp->sp_nic.np_private = sp;
	mutex_spin_enter(&so_lock);
	TAILQ_INSERT_TAIL(&so_packets, sp, sp_link);
	mutex_spin_exit(&so_lock);
	return sp;
}

/* => not sent: all of it goes */
static void
packet_abort(struct so_packet *sp)
{
	bool window = sp->sp_npages > 0;

	m_freem(sp->sp_chain);
	if (!window)
		uvm_loanfree(&sp->sp_free);
}

/*
 * => see uvm_sosend.h.
 */
int
sys_send(struct proc *p, vaddr_t va, vsize_t len, int flags, struct so_send *ss)
{
	struct so_packet *sp;
	int error;

	KASSERT(curlwp->l_proc == p);
	if (((va | len) & 7) != 0 || len == 0 || va + len < va || va + len > VM_MAXUSER_ADDRESS)
		return EINVAL;
	if (len > SO_SEND_MAX)
		return EMSGSIZE;
	sp = packet_alloc(ss);
	*ss = (struct so_send){ 0 };
	error = chain_build(sp, &p->p_vmspace->vm_map, va, len, (flags & SO_SEND_COPY) == 0);
	if (error != 0) {
		packet_abort(sp);
		return error;
	}
	KASSERT(m_length(sp->sp_chain) == len);
	ss->ss_loaned = ptoa((uint64_t)sp->sp_npages);
	chain_segments(sp);
	while (nic_transmit(&sp->sp_nic) == ENOBUFS) {
		UVMCNT(so_ringfull);
		kpause("nicring", RING_PAUSE_NS);
	}
	return 0;				/* sp is not ours any more */
}

void
so_send_wait(struct so_send *ss)
{
	mutex_spin_enter(&so_lock);
	while (!ss->ss_done)
		mtsleep(ss, false, "sosend", 0, &so_lock);
	mutex_spin_exit(&so_lock);
}

/* --- looking on, boot --- */

/*
 * => fn must not sleep
 */
void
uvm_sosend_foreach(void (*fn)(vaddr_t, struct vm_page *const *, int, void *), void *arg)
{
	struct so_packet *sp;

	mutex_spin_enter(&so_lock);
	TAILQ_FOREACH(sp, &so_packets, sp_link)
		if (sp->sp_npages > 0)
			fn(sp->sp_kva, sp->sp_pgs, sp->sp_npages, arg);
	mutex_spin_exit(&so_lock);
}

vsize_t
uvm_sosend_kva(vsize_t *limit)
{
	vsize_t kva;

	mutex_spin_enter(&so_lock);
	kva = so_kva;
	mutex_spin_exit(&so_lock);
	if (limit != NULL)
		*limit = so_kva_limit;
	return kva;
}

bool
uvm_sosend_idle(void)
{
	bool idle;

	mutex_spin_enter(&so_lock);
	idle = TAILQ_EMPTY(&so_packets);
	mutex_spin_exit(&so_lock);
	return idle;
}

void
uvm_sosend_init(void)
{
	mutex_init(&so_lock, MUTEX_DEFAULT, IPL_VM, LC_sosend);
	TAILQ_INIT(&so_packets);
	so_kva = 0;
	so_kva_limit = vm_map_max(mb_map) - vm_map_min(mb_map);
	if (so_kva_limit > KVA_MAX)
		so_kva_limit = KVA_MAX;
	so_pool = pool_create(sizeof(struct so_packet), 0, "sopacket", &pool_allocator_kmem, IPL_VM);
}

void
uvm_sosend_fini(void)
{
	if (!uvm_sosend_idle())
		violation(VIOL_LEAK, "I-LOAN-8", "windows of %lu bytes onto pages on loan are left",
		    (unsigned long)uvm_sosend_kva(NULL));
	else
		pool_destroy(so_pool);
	mutex_destroy(&so_lock);
}
