/*
 * The simulated network interface.
 *
 *	nic_transmit()	reads the packet, puts it on the ring
 *	    the wire	nic_latency of the machine's time (a callout)
 *	IRQ_NET		on the next CPU in turn: reads it again, np_done()
 *
 * One callout serves the ring: a packet that joins while another is on its way is sent
 * with it.  Without latency the interrupt is pending when nic_transmit() returns.
 */
#include <machine/nic.h>

#include <errno.h>
#include <host/sched.h>
#include <machine/ram.h>
#include <sys/callout.h>
#include <sys/cpu.h>
#include <sys/kernel.h>
#include <sys/kernhist.h>
#include <sys/mutex.h>

static kmutex_t nic_lock;			/* LC_nic, IPL_VM */
static TAILQ_HEAD(, nic_packet) nic_ring;	/* nic_lock */
static int nic_nring;				/* nic_lock */
static bool nic_busy;				/* nic_lock: an interrupt is to come */
static int nic_cpu;				/* nic_lock: whose turn it is */
static int nic_turn;				/* only the callout, which never runs twice at once */
static uint64_t nic_npackets;			/* nic_lock, read @ */
static uint64_t nic_latency;			/* : */
static struct callout nic_wire;

static void	nic_intr(void *);
static void	nic_sent(void *);

void
nic_init(uint64_t latency_ns)
{
	mutex_init(&nic_lock, MUTEX_DEFAULT, IPL_VM, LC_nic);
	TAILQ_INIT(&nic_ring);
	nic_nring = 0;
	nic_busy = false;
	nic_cpu = nic_turn = 0;
	nic_npackets = 0;
	nic_latency = latency_ns;
	callout_init(&nic_wire, nic_sent, NULL);
	intr_establish(IRQ_NET, IPL_VM, nic_intr, NULL);
}

void
nic_fini(void)
{
	mutex_enter(&nic_lock);
	KASSERTMSG(nic_nring == 0, "%d packets on their way", nic_nring);
	mutex_exit(&nic_lock);
	callout_halt(&nic_wire);
	mutex_destroy(&nic_lock);
}

/* --- checksum --- */

void
nic_sum_init(struct nic_sum *ns)
{
	*ns = (struct nic_sum){ 0, 1 };
}

static uint64_t
load_word(const uint8_t *p, size_t n)
{
	uint64_t word = 0;

	/* relaxed: other CPUs may use the same words; a stable packet has none that change */
	if (n == 8 && ((uintptr_t)p & 7) == 0)
		return __atomic_load_n((const uint64_t *)(const void *)p, __ATOMIC_RELAXED);
	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)__atomic_load_n(&p[i], __ATOMIC_RELAXED) << (8 * i);
	return word;
}

void
nic_sum_add(struct nic_sum *ns, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t done = 0; done < len; done += 8) {
		size_t n = len - done < 8 ? len - done : 8;

		/* odd weights: no word can change without the sum */
		ns->ns_sum += load_word(p + done, n) * ns->ns_word;
		ns->ns_word += 2;
	}
}

uint64_t
nic_sum_value(const struct nic_sum *ns)
{
	return ns->ns_sum;
}

static uint64_t
packet_sum(const struct nic_packet *np)
{
	struct nic_sum ns;

	nic_sum_init(&ns);
	for (int i = 0; i < np->np_nsegs; i++)
		nic_sum_add(&ns, ram_host(np->np_segs[i].ns_pa), np->np_segs[i].ns_len);
	return nic_sum_value(&ns);
}

/* --- sending --- */

static void
check_packet(const struct nic_packet *np)
{
	KASSERT(np->np_nsegs > 0 && np->np_nsegs <= NIC_MAXSEGS);
	KASSERT(np->np_done != NULL);
	for (int i = 0; i < np->np_nsegs; i++) {
		paddr_t pa = np->np_segs[i].ns_pa;
		uint32_t len = np->np_segs[i].ns_len;

		KASSERT(atop(pa) < ram_npages);
		KASSERT(len > 0 && (pa & PAGE_MASK) + len <= PAGE_SIZE);
		KASSERT((len & 7) == 0 || i == np->np_nsegs - 1);
	}
}

/* => nic_lock held: the CPU whose turn it is to be interrupted */
static struct cpu_info *
next_cpu(void)
{
	nic_cpu = (nic_cpu + 1) % ncpu;
	return &cpus[nic_cpu];
}

int
nic_transmit(struct nic_packet *np)
{
	bool first;

	check_packet(np);
	host_point(HP_IO, 1);
	np->np_sum = packet_sum(np);
	mutex_enter(&nic_lock);
	if (nic_nring == NIC_RING) {
		mutex_exit(&nic_lock);
		return ENOBUFS;
	}
	TAILQ_INSERT_TAIL(&nic_ring, np, np_queue);
	nic_nring++;
	first = !nic_busy;
	nic_busy = true;
	if (first && nic_latency == 0)
		intr_post(next_cpu(), IRQ_NET);
	mutex_exit(&nic_lock);
	if (first && nic_latency != 0)
		callout_schedule(&nic_wire, nic_latency);
	return 0;
}

/* The first packet has left the wire; at the clock's level, above the lock's: so no lock. */
static void
nic_sent(void *arg)
{
	nic_turn = (nic_turn + 1) % ncpu;
	intr_post(&cpus[nic_turn], IRQ_NET);
}

/* => IPL_VM, on any CPU: all that is on the ring is sent */
static void
nic_intr(void *arg)
{
	struct nic_packet *np;
	uint64_t sum;

	mutex_enter(&nic_lock);
	nic_busy = false;
	while ((np = TAILQ_FIRST(&nic_ring)) != NULL) {
		TAILQ_REMOVE(&nic_ring, np, np_queue);
		nic_nring--;
		/* relaxed: pairs with nic_packets() */
		__atomic_store_n(&nic_npackets, nic_npackets + 1, __ATOMIC_RELAXED);
		mutex_exit(&nic_lock);
		host_point(HP_IODONE, 1);
		sum = packet_sum(np);
		if (sum != np->np_sum) {
			violation_about(KS_page, (uint32_t)atop(np->np_segs[0].ns_pa), NULL);
			violation(VIOL_CONTENT, "I-LOAN-3", "a packet of %d segments, the first at "
			    "%#llx, changed while it was being sent: sum %016llx, then %016llx",
			    np->np_nsegs, (unsigned long long)np->np_segs[0].ns_pa,
			    (unsigned long long)np->np_sum, (unsigned long long)sum);
		}
		np->np_done(np);		/* np may be gone after it */
		mutex_enter(&nic_lock);
	}
	mutex_exit(&nic_lock);
}

bool
nic_idle(void)
{
	bool idle;

	mutex_enter(&nic_lock);
	idle = nic_nring == 0 && !nic_busy;
	mutex_exit(&nic_lock);
	return idle;
}

uint64_t
nic_packets(void)
{
	return __atomic_load_n(&nic_npackets, __ATOMIC_RELAXED);
}
