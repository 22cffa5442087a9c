/*
 * Swapping out LWPs (uvm-spec 8.6).
 *
 * An LWP of a process has a u-area: two pages of pageable kernel memory, wired by
 * uvm_fault_wire() while the LWP may run.  When memory is short the page daemon asks the
 * swapper, which unwires the u-areas of LWPs that have not returned to user mode for some
 * of its rounds; then they are anonymous memory like any other and may go to swap.  An
 * LWP that comes to the user boundary without its u-area has it wired again first.
 *
 *	IN --swapper--> GOING --> OUT --owner--> COMING --> IN, or OUT again
 *	IN <--owner--> INUSE
 *
 * The swapper is an LWP of its own because unwiring asks for a map's lock, for which the
 * page daemon may not wait (I-PD-4).  Age is counted in rounds, not in time.
 *
 * What a kernel stack would hold stands here as a number in each page that the owner
 * counts up; it must be there, without a fault, whenever the u-area is in.
 *
 * Who finds no memory for coming in, and nothing that could be reclaimed, goes on without
 * and tries again the next time: a real kernel would wait for ever, but here the others
 * may all have ended.
 */
#include <machine/softmmu.h>
#include <sys/kmem.h>
#include <sys/sleepq.h>
#include <uvm/uvm.h>
#include <uvm/uvm_glue.h>

#define	IDLE_ROUNDS	2		/* of the swapper's, without a return to user mode */
#define	TOUCH_STRIDE	64		/* returns to user mode for one look at the pages */
#define	UAREA_MAP_MIN	(2UL << 20)
#define	UAREA_MAP_MAX	(16UL << 20)

enum { UA_IN, UA_INUSE, UA_GOING, UA_OUT, UA_COMING };

/*
 *	:  stable	!  only its LWP		l  uarea_lock	@  atomic
 */
struct uarea {
	vaddr_t		 ua_va;		/* : */
	uint32_t	 ua_id;		/* : birth number */
	int		 ua_state;	/* @ UA_; from IN by compare-and-swap */
	unsigned	 ua_idle;	/* @ rounds since its LWP returned to user mode */
	unsigned	 ua_passes;	/* ! */
	uint32_t	 ua_count;	/* ! what its pages say */
	TAILQ_ENTRY(uarea) ua_link;	/* l */
};

struct vm_map *uarea_map;
static struct vm_map uarea_map_store;		/* : */

static kmutex_t uarea_lock;			/* LC_uarea */
static TAILQ_HEAD(, uarea) uarea_list;		/* l: by birth */
static uint32_t uarea_last_id;			/* l */
static bool swapper_kicked, swapper_stop;	/* l */
static struct lwp *swapper_lwp;			/* : */

static void	swapper(void *);

void
uvm_glue_init(void)
{
	vsize_t size = round_page(ptoa(uvm.npages) / 4);
	vaddr_t min, max;

	uarea_last_id = 0;
	if (size < UAREA_MAP_MIN)
		size = UAREA_MAP_MIN;
	if (size > UAREA_MAP_MAX)
		size = UAREA_MAP_MAX;
	uvm_km_suballoc(kernel_map, &min, &max, size, VM_MAP_PAGEABLE, &uarea_map_store);
	uarea_map = &uarea_map_store;
	mutex_init(&uarea_lock, MUTEX_DEFAULT, IPL_NONE, LC_uarea);
	TAILQ_INIT(&uarea_list);
	swapper_kicked = swapper_stop = false;
	if (lwp_create(&swapper_lwp, NULL, "swapper", swapper, NULL) != 0)
		panic("cannot create the swapper");
	lwp_start(swapper_lwp);
}

void
uvm_glue_fini(void)
{
	mutex_enter(&uarea_lock);
	swapper_stop = true;
	wakeup(&swapper_kicked);
	mutex_exit(&uarea_lock);
	lwp_wait(swapper_lwp);
	KASSERTMSG(TAILQ_EMPTY(&uarea_list), "a u-area is left");
	mutex_destroy(&uarea_lock);
	uvm_map_teardown(uarea_map);
	uarea_map = NULL;
}

/* --- what is in it --- */

static uint64_t
mark(const struct uarea *ua, vaddr_t page)
{
	return (uint64_t)ua->ua_id << 40 | page << 32 | ua->ua_count;
}

static bool
take(struct uarea *ua, int new)
{
	int in = UA_IN;

	/* acquire: what the last owner of the state did; pairs with give() */
	return __atomic_compare_exchange_n(&ua->ua_state, &in, new, false, __ATOMIC_ACQUIRE,
	    __ATOMIC_RELAXED);
}

/* => the next state of one that is in our hands: the arrows above, but for those that take() goes */
static void
give(struct uarea *ua, int state)
{
	const int was = __atomic_load_n(&ua->ua_state, __ATOMIC_RELAXED);

	KASSERTMSG(state == UA_IN ? was == UA_INUSE || was == UA_COMING : state == UA_OUT ? was == UA_GOING ||
	    was == UA_COMING : was == UA_OUT, "u-area %u goes from state %d to %d", ua->ua_id, was, state);
	__atomic_store_n(&ua->ua_state, state, __ATOMIC_RELEASE);
}

static void
write_marks(struct uarea *ua)
{
	ua->ua_count++;
	for (vaddr_t i = 0; i < atop(UAREA_SIZE); i++)
		if (kern_store(ua->ua_va + ptoa(i), mark(ua, i)) != 0)
			panic("u-area %u cannot be stored to", ua->ua_id);
}

/*
 * => wired and not going: the pages are mapped, and say what they said
 */
static void
touch(struct uarea *ua)
{
	for (vaddr_t i = 0; i < atop(UAREA_SIZE); i++) {
		vaddr_t va = ua->ua_va + ptoa(i);
		uint64_t seen = 0;

		if (!pmap_extract(pmap_kernel(), va, NULL))
			violation(VIOL_INVARIANT, "R31", "page %u of u-area %u is wired, and would take "
			    "a fault", (unsigned)i, ua->ua_id);
		if (kern_load(va, &seen) != 0 || seen != mark(ua, i))
			violation(VIOL_CONTENT, "u-area", "page %u of u-area %u holds %#lx, must hold %#lx",
			    (unsigned)i, ua->ua_id, (unsigned long)seen, (unsigned long)mark(ua, i));
	}
	write_marks(ua);
}

/* --- its life --- */

int
uvm_uarea_alloc(struct uarea **uap)
{
	struct uarea *ua;
	vaddr_t va = uvm_km_alloc(uarea_map, UAREA_SIZE, 0, UVM_KMF_PAGEABLE);

	if (va == 0)
		return ENOMEM;
	if (uvm_fault_wire(uarea_map, va, va + UAREA_SIZE, VM_PROT_READ | VM_PROT_WRITE, false) != 0) {
		uvm_km_free(uarea_map, va, UAREA_SIZE, UVM_KMF_PAGEABLE);
		return ENOMEM;
	}
	ua = kmem_zalloc(sizeof(*ua), KM_SLEEP);
	ua->ua_va = va;
	ua->ua_state = UA_INUSE;
	mutex_enter(&uarea_lock);
	ua->ua_id = ++uarea_last_id;
	TAILQ_INSERT_TAIL(&uarea_list, ua, ua_link);
	mutex_exit(&uarea_lock);
	write_marks(ua);
	give(ua, UA_IN);
	*uap = ua;
	return 0;
}

/* => the swapper is through with it */
static void
wait_gone(struct uarea *ua)
{
	mutex_enter(&uarea_lock);
	while (__atomic_load_n(&ua->ua_state, __ATOMIC_ACQUIRE) == UA_GOING)
		(void)mtsleep(ua, false, "uagoing", 0, &uarea_lock);
	mutex_exit(&uarea_lock);
}

void
uvm_uarea_free(struct uarea *ua)
{
	if (take(ua, UA_INUSE))
		uvm_fault_unwire(uarea_map, ua->ua_va, ua->ua_va + UAREA_SIZE);
	else
		wait_gone(ua);
	KASSERTMSG(__atomic_load_n(&ua->ua_state, __ATOMIC_RELAXED) == UA_INUSE ||
	    __atomic_load_n(&ua->ua_state, __ATOMIC_RELAXED) == UA_OUT,
	    "u-area %u is freed, and the swapper is at it: state %d", ua->ua_id, ua->ua_state);
	mutex_enter(&uarea_lock);
	TAILQ_REMOVE(&uarea_list, ua, ua_link);
	mutex_exit(&uarea_lock);
	uvm_km_free(uarea_map, ua->ua_va, UAREA_SIZE, UVM_KMF_PAGEABLE);
	kmem_free(ua, sizeof(*ua));
}

/* --- in --- */

static void
swapin(struct uarea *ua)
{
	int error;

	wait_gone(ua);
	KASSERT(__atomic_load_n(&ua->ua_state, __ATOMIC_RELAXED) == UA_OUT);
	give(ua, UA_COMING);
	error = uvm_fault_wire(uarea_map, ua->ua_va, ua->ua_va + UAREA_SIZE,
	    VM_PROT_READ | VM_PROT_WRITE, false);
	if (error != 0) {
		/* EIO: a kernel whose stack cannot be read panics; this one needs no stack, and comes again */
		KASSERTMSG(error == ENOMEM || error == EIO, "u-area %u cannot come in: error %d", ua->ua_id, error);
		UVMCNT(swapin_failed);
		give(ua, UA_OUT);
		return;
	}
	UVMCNT(swapins);
	touch(ua);
	give(ua, UA_IN);
}

void
uvm_uarea_userret(struct lwp *l)
{
	struct uarea *ua = l->l_addr;

	__atomic_store_n(&ua->ua_idle, 0, __ATOMIC_RELAXED);
	if (++ua->ua_passes % TOUCH_STRIDE != 0 &&
	    __atomic_load_n(&ua->ua_state, __ATOMIC_RELAXED) == UA_IN)
		return;
	if (!take(ua, UA_INUSE)) {
		swapin(ua);
		return;
	}
	touch(ua);
	give(ua, UA_IN);
}

/* --- out --- */

void
uvm_swapout_threads(void)
{
	mutex_enter(&uarea_lock);
	swapper_kicked = true;
	wakeup(&swapper_kicked);
	mutex_exit(&uarea_lock);
}

/* => uarea_lock held, given up meanwhile; the u-area stays, because it is GOING */
static void
swapout(struct uarea *ua)
{
	mutex_exit(&uarea_lock);
	uvm_fault_unwire(uarea_map, ua->ua_va, ua->ua_va + UAREA_SIZE);
	UVMCNT(swapouts);
	lwp_beat();			/* of many, in one round */
	mutex_enter(&uarea_lock);
	give(ua, UA_OUT);
	wakeup(ua);
}

static void
swapper(void *arg)
{
	struct uarea *ua;

	mutex_enter(&uarea_lock);
	while (!swapper_stop) {
		if (!swapper_kicked) {
			lwp_patient(true);
			(void)mtsleep(&swapper_kicked, false, "swapper", 0, &uarea_lock);
			lwp_patient(false);
			continue;
		}
		swapper_kicked = false;
		TAILQ_FOREACH(ua, &uarea_list, ua_link)
			if (__atomic_add_fetch(&ua->ua_idle, 1, __ATOMIC_RELAXED) > IDLE_ROUNDS &&
			    take(ua, UA_GOING))
				swapout(ua);
	}
	mutex_exit(&uarea_lock);
}

void
uvm_uarea_foreach(void (*fn)(vaddr_t, void *), void *arg)
{
	struct uarea *ua;

	mutex_enter(&uarea_lock);
	TAILQ_FOREACH(ua, &uarea_list, ua_link)
		if (__atomic_load_n(&ua->ua_state, __ATOMIC_ACQUIRE) == UA_IN)
			fn(ua->ua_va, arg);
	mutex_exit(&uarea_lock);
}

struct lwp *
uvm_uarea_forgotten(void)
{
	struct lwp *l = NULL;
	struct uarea *ua;

	mutex_enter(&uarea_lock);
	if (swapper_kicked)
		l = sleepq_sleeper(&swapper_kicked);
	TAILQ_FOREACH(ua, &uarea_list, ua_link)
		if (l == NULL && __atomic_load_n(&ua->ua_state, __ATOMIC_RELAXED) != UA_GOING)
			l = sleepq_sleeper(ua);
	mutex_exit(&uarea_lock);
	return l;
}
